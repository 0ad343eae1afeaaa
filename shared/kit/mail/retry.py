"""When a mail is tried again (contract section 9): 5 s, 15 s, 30 s, then doubling up to 30 minutes, until a horizon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.kit.mail.sender import PermanentFailure

_PAUSES = (5.0, 15.0, 30.0)
_LONGEST = 1800.0


def pause_before(attempt: int) -> float:
    """Seconds to wait before attempt number `attempt` (the first retry is number 2)."""
    index = max(attempt - 2, 0)
    return _PAUSES[index] if index < len(_PAUSES) else min(_PAUSES[-1] * 2 ** (index - len(_PAUSES) + 1), _LONGEST)


@dataclass(frozen=True, slots=True)
class MailRetry:
    """A retry strategy of faststream-outbox: grows as above, gives up at the horizon or at a permanent failure."""

    horizon: timedelta

    def get_next_attempt_delay(
        self,
        *,
        first_attempt_at: datetime,
        last_attempt_at: datetime,
        attempts_count: int,
        exception: BaseException | None = None,
    ) -> float | None:
        if isinstance(exception, PermanentFailure):
            return None
        pause = pause_before(attempts_count + 1)
        elapsed = (last_attempt_at - first_attempt_at).total_seconds()
        return None if elapsed + pause > self.horizon.total_seconds() else pause
