"""Nothing is skipped: what the processor does when recording fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy.exc import DataError

from services.audit.domain.messages import Message
from services.audit.handlers import AuditProcessor
from services.audit.usecases.append_records import Appended
from shared.kit.messaging.consumer import Stopping
from shared.kit.messaging.events import Pauses


@dataclass
class FakeRecord:
    value: bytes | None
    offset: int = 0
    topic: str = "readmit.x.v1"
    partition: int = 0
    timestamp: int = 1
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass
class FakeAppend:
    """Fails as it is told, and remembers what it recorded."""

    away: int = 0
    poison: bytes | None = None
    recorded: list[tuple[bytes, str | None]] = field(default_factory=list)
    calls: int = 0

    async def __call__(self, messages: Sequence[Message], *, unreadable: str | None = None) -> Appended:
        self.calls += 1
        if self.calls <= self.away:
            raise ConnectionRefusedError
        if unreadable is None and any(message.value == self.poison for message in messages):
            raise DataError("INSERT", {}, ValueError("invalid byte sequence"))
        self.recorded.extend((message.value, unreadable) for message in messages)
        return Appended({"event": len(messages)}, 0, 0, len(self.recorded))


def processor(append: Any, stopping: asyncio.Event | None = None) -> AuditProcessor:
    return AuditProcessor(append, stopping or asyncio.Event(), Pauses(0.001, 0.002))


async def test_while_the_database_is_away_it_waits_and_then_records_everything() -> None:
    append = FakeAppend(away=7)
    await processor(append)([FakeRecord(b"a"), FakeRecord(None, 1)])
    assert append.recorded == [(b"a", None), (b"", None)]


async def test_what_the_database_refuses_is_recorded_unread_and_alone() -> None:
    append = FakeAppend(poison=b"bad")
    await processor(append)([FakeRecord(b"a"), FakeRecord(b"bad", 1), FakeRecord(b"c", 2)])
    assert append.recorded == [(b"a", None), (b"bad", "could not be recorded: DataError"), (b"c", None)]


async def test_a_stopping_service_gives_the_batch_back() -> None:
    stopping = asyncio.Event()
    stopping.set()
    append = FakeAppend(away=10_000)
    with pytest.raises(Stopping):
        await processor(append, stopping)([FakeRecord(b"a")])
    assert append.recorded == []
