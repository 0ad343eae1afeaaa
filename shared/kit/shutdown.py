"""How the ten seconds after SIGTERM (contract section 9) are shared out, and what a signal does before there is work.

Imports nothing but the standard library: `stop_at_once` has to be the first thing that a service does.
"""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

# The waits follow one another and add up; what an earlier one leaves, a later one may use.
HTTP_SECONDS = 4  # requests in flight; whole seconds, as uvicorn wants them
OUTBOX_SECONDS = 2.5  # jobs in hand: what is cut off is leased again by whoever runs next
KAFKA_SECONDS = 2.5  # batches in hand: what is cut off is delivered again
STOP_SECONDS = 8.7  # everything; `readmit up` kills after 9
_LAST_RESORT_SECONDS = 9.5  # for an event loop that no longer turns

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_asked_at: float | None = None


def stop_at_once() -> None:
    """Until the server takes the signals over nothing runs that would have to be stopped: they end the process."""
    for number in SIGNALS:
        signal.signal(number, _exit)


def _exit(_: int, __: FrameType | None) -> None:
    os._exit(0)  # and not SystemExit, which whatever is being imported may catch or report


def stop_asked() -> None:
    """A signal came: from now on the time runs. SIGALRM, left to its default, ends a process that can't end itself."""
    global _asked_at
    if _asked_at is None:
        _asked_at = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, _LAST_RESORT_SECONDS)


def seconds_left() -> float:
    """Of the time to stop in; requests in flight have had theirs by then."""
    if _asked_at is None:
        return STOP_SECONDS - HTTP_SECONDS
    return max(STOP_SECONDS - (time.monotonic() - _asked_at), 0.1)
