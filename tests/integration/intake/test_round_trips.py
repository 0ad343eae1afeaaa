"""One round trip to PostgreSQL a request: counted on the wire, so that no layer can hide one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg

from services.intake.adapters.requests import RequestStore
from services.intake.domain.submission import Entry, Idempotency
from shared.kit.clock import uuid7
from shared.kit.db.migrate import migrate_async
from tests.engines import PostgresEngine


@dataclass
class Wire:
    """A way to the server that counts Sync messages, each of which waits for an answer (protocol 3.0, section 54.2)."""

    url: str
    syncs: int = 0


@asynccontextmanager
async def wire_to(database_url: str) -> AsyncIterator[Wire]:
    parts = urlsplit(database_url)
    folder = parse_qs(parts.query)["host"][0]

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        back = asyncio.create_task(_copy(up_reader, writer))
        try:
            typed = b""  # the first message has no type
            while header := await reader.readexactly(len(typed) + 4 if typed else 4):
                body = await reader.readexactly(int.from_bytes(header[-4:], "big") - 4)
                wire.syncs += header[:1] == b"S" if typed else 0
                up_writer.write(header + body)
                await up_writer.drain()
                typed = b"?"
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            up_writer.close()
            await back
            writer.close()

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    netloc = f"{parts.username}:{parts.password}@{host}:{port}"
    wire = Wire(urlunsplit((parts.scheme, netloc, parts.path, "sslmode=disable", "")))
    try:
        yield wire
    finally:
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()  # a client that has said goodbye waits for the server to hang up


def entry(number: int, *, suppressed: bool = False, key: str | None = None) -> Entry:
    return Entry(
        reference_id=f"RA-0000-{number:04}-0",
        email_hash="h" * 32,
        earlier_hashes=("h" * 32,),
        suppressed_from=ip_network("192.0.2.1/32") if suppressed else None,
        event_id=uuid7(),
        event_type="readmit.assistance.requested.v1",
        event=b'{"data":{"a":1}}',
        time=datetime.now(UTC),
        language="en",
        idempotency=None if key is None else Idempotency(key, "body"),
    )


async def test_a_request_is_one_round_trip_whatever_becomes_of_it(postgres_engine: PostgresEngine) -> None:
    url = await postgres_engine.create("intake")
    await migrate_async("intake", url)
    async with wire_to(url) as wire:
        woken: list[bool] = []
        store = RequestStore(wire.url, connections=4, wake_relay=lambda: woken.append(True))
        await store.start()
        kinds: dict[str, dict[str, Any]] = {"told": {}, "suppressed": {"suppressed": True}, "with a key": {"key": "k0"}}
        for number, kind in enumerate(kinds.values()):
            await store.record(entry(number, **kind))
        numbers = iter(range(10, 1000))
        for name, kind in kinds.items():
            before = wire.syncs
            for number in numbers:
                changed = {**kind, "key": f"k{number}"} if "key" in kind else kind
                await store.record(entry(number, **changed))
                if number % 10 == 9:
                    break
            assert wire.syncs - before == 10, name
        before = wire.syncs
        await store.record(entry(999, key="k0"))
        assert wire.syncs - before == 1, "a repeated request"
        await store.stop()
        assert len(woken) == 34, "the relay is woken for each, by no statement"
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT count(*) FROM ledger") == 33
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 33
    await connection.close()
