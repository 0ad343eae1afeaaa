"""The W3C trace context of the work in hand: one trace from the request form to the mail server.

`traceparent` (W3C Trace Context, section 3.2) travels in events and outbox rows, its trace id in log lines.
No spans are exported yet.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_current: ContextVar[str | None] = ContextVar("readmit_traceparent", default=None)


def current_traceparent() -> str | None:
    return _current.get()


def new_traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


@contextmanager
def trace(traceparent: str | None) -> Iterator[str]:
    """Continues the trace that the header names, or begins one; log lines carry its `trace_id` meanwhile."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    value = f"00-{match[1]}-{secrets.token_hex(8)}-01" if match and int(match[1], 16) else new_traceparent()
    token = _current.set(value)
    with structlog.contextvars.bound_contextvars(trace_id=value[3:35]):
        try:
            yield value
        finally:
            _current.reset(token)
