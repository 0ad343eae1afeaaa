"""Which of two statements about the same thing is the newer one, whatever the order they arrive in."""

from __future__ import annotations

from datetime import UTC, datetime

NEVER = ""
"""Older than every event."""

_TIME_LENGTH = len("2026-11-24T01:43:05.000000")


def version_of(time: datetime, event_id: str) -> str:
    """Give text that sorts, byte by byte, as (time, id) does: the order that decides which state is the newer.

    One column and one comparison in PostgreSQL (`COLLATE "C"`) instead of two of each.
    """
    return f"{time.astimezone(UTC).isoformat(timespec='microseconds')[:_TIME_LENGTH]}Z {event_id}"


def time_of(version: str) -> datetime | None:
    """Give the time of a version, or None for `NEVER`."""
    if version == NEVER:
        return None
    return datetime.fromisoformat(version[:_TIME_LENGTH]).replace(tzinfo=UTC)
