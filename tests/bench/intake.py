"""Intake against a bare Starlette application that does the same single insert, in one run on one machine.

The bare one reads the JSON body and executes intake's own statement with the same parameters, on an asyncpg pool of the
same size; it checks, counts, logs and publishes nothing. Intake runs whole: its relay publishes to a broker meanwhile.
`python -m tests.bench.intake` prints both.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from shared.kit.db.migrate import migrate_async
from shared.kit.messaging.topics import apply_topics
from tests.bench.latency import percentile
from tests.engines import PostgresEngine, free_port, kafka, postgres
from tests.integration.intake.conftest import LIMITS_OFF, TOPICS, Issuer, settings_environment
from tests.processes import running_module

CLIENTS, SECONDS, WARM_UP_SECONDS = 32, 6.0, 2.0
PATH = "/v1/assistance-requests"


async def measure(seconds: float = SECONDS, rounds: int = 3) -> dict[str, Any]:
    """Both in turn, several times; the medians of rates and of p99s."""
    taken: dict[str, list[tuple[float, float]]] = {"bare": [], "intake": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with postgres(folder) as database, kafka(folder) as servers:
            await apply_topics(servers, TOPICS)
            for _ in range(rounds):
                async with _bare(database) as port:
                    taken["bare"].append(await load(port, seconds))
                async with _intake(database, servers, folder) as port:
                    taken["intake"].append(await load(port, seconds))
    figures = {
        what: {"requests_per_second": round(_median(rates)), "p99_ms": round(_median(p99s) * 1000, 1)}
        for what, pairs in taken.items()
        for rates, p99s in [tuple(zip(*pairs, strict=True))]
    }
    ratio = figures["intake"]["requests_per_second"] / figures["bare"]["requests_per_second"]
    return figures | {"clients": CLIENTS, "rounds": rounds, "ratio": round(ratio, 3)}


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


async def load(port: int, seconds: float) -> tuple[float, float]:
    """Requests a second and p99 in seconds of so many clients, each with one kept connection."""
    await _clients(port, WARM_UP_SECONDS)
    taken = await _clients(port, seconds)
    return len(taken) / seconds, percentile(taken, 0.99)


async def _clients(port: int, seconds: float) -> list[float]:
    taken: list[float] = []
    end = time.monotonic() + seconds
    await asyncio.gather(*(_client(port, number, end, taken) for number in range(CLIENTS)))
    return taken


async def _client(port: int, number: int, end: float, taken: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while (started := time.monotonic()) < end:
        count += 1
        body = b'{"email":"bench-%d-%d@example.org","issue":"other"}' % (number, count)
        writer.write(
            b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (PATH.encode(), len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 202"), head
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        taken.append(time.monotonic() - started)
    writer.close()


@asynccontextmanager
async def _intake(database: PostgresEngine, servers: list[str], folder: Path) -> AsyncIterator[int]:
    url, port = await database.create("intake"), free_port()
    await migrate_async("intake", url)
    environment = settings_environment(url, servers, Issuer(folder).jwks, **LIMITS_OFF)
    async with running_module(["services.intake"], environment | {"READMIT_PORT": str(port)}, port) as listening:
        yield listening


@asynccontextmanager
async def _bare(database: PostgresEngine) -> AsyncIterator[int]:
    url, port = await database.create("bare"), free_port()
    await migrate_async("intake", url)
    async with running_module(
        ["tests.bench.bare_intake"], {"BARE_DATABASE_URL": url, "BARE_PORT": str(port)}, port
    ) as p:
        yield p


if __name__ == "__main__":
    Console().print_json(data=asyncio.run(measure()))
