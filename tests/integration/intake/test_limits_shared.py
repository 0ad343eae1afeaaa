"""Two processes of intake that share their counts in Valkey or Redis: N admitted are N, whoever is asked."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from shared.kit.db.migrate import migrate_async
from tests.engines import PostgresEngine, free_port
from tests.integration.intake.conftest import LIMITS_OFF, Intake, Issuer, StartIntake, settings_environment
from tests.processes import running, running_module
from tests.requirements import requires

PATH = "/v1/assistance-requests"
AT_ONCE = 200


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of an empty Valkey or Redis."""
    server = shutil.which("valkey-server") or shutil.which("redis-server")
    if server is None:
        requires("valkey-server or redis-server")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    async with running([server, *options], {}, port):
        yield f"valkey://127.0.0.1:{port}"


async def replicas(
    stack: AsyncExitStack, url: str, servers: list[str], issuer: Issuer, **changes: str
) -> list[httpx.AsyncClient]:
    """Two processes on one database; a client of each."""
    await migrate_async("intake", url)
    clients = []
    for _ in range(2):
        port = free_port()
        environment = settings_environment(url, servers, issuer.jwks, **{**LIMITS_OFF, **changes})
        await stack.enter_async_context(
            running_module(["services.intake"], environment | {"READMIT_PORT": str(port)}, port)
        )
        limits = httpx.Limits(max_connections=AT_ONCE)
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, limits=limits, trust_env=False)
        clients.append(await stack.enter_async_context(client))
    return clients


async def ask_at_once(clients: list[httpx.AsyncClient]) -> Counter[int]:
    """Status codes of so many requests for as many addresses, each of the clients asked in turn."""

    async def ask(number: int) -> int:
        body = {"email": f"p{number}@example.org", "issue": "other"}
        return (await clients[number % len(clients)].post(PATH, json=body)).status_code

    return Counter(await asyncio.gather(*(ask(number) for number in range(AT_ONCE))))


@pytest.mark.parametrize(
    ("setting", "refusal"), [("READMIT_INTAKE_LIMIT_NETWORK", 429), ("READMIT_INTAKE_LIMIT_TOTAL", 503)]
)
async def test_n_admitted_are_n_over_two_processes(
    postgres_engine: PostgresEngine, kafka_servers: list[str], topics: None, issuer: Issuer, store: str,
    setting: str, refusal: int,
) -> None:  # fmt: skip
    url = await postgres_engine.create("intake")
    changes = {setting: "37 per hour", "READMIT_RATE_LIMIT_URL": store}
    async with AsyncExitStack() as stack:
        clients = await replicas(stack, url, kafka_servers, issuer, **changes)
        assert await ask_at_once(clients) == {202: 37, refusal: AT_ONCE - 37}
    # Stopped by now: what was counted and not yet told is told at a stop.
    events = await _events(url)
    assert len([event for event in events if event == "readmit.assistance.requested.v1"]) == 37
    throttled = [event for event in events if event == "readmit.assistance.throttled.v1"]
    assert 2 <= len(throttled) <= 4  # of each process: the first at once, the others in one


async def test_without_the_store_each_would_admit_its_own(
    postgres_engine: PostgresEngine, kafka_servers: list[str], topics: None, issuer: Issuer
) -> None:
    """So the test above does look."""
    url = await postgres_engine.create("intake")
    async with AsyncExitStack() as stack:
        clients = await replicas(stack, url, kafka_servers, issuer, READMIT_INTAKE_LIMIT_NETWORK="37 per hour")
        assert (await ask_at_once(clients))[202] == 2 * 37


async def _events(url: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [row["type"] for row in await connection.fetch("SELECT type FROM ledger")]
    finally:
        await connection.close()


async def test_addresses_are_shared_too(start_intake: StartIntake, store: str) -> None:
    """One process's suppressed request is the other's: five asked, three told of."""
    changes = {"READMIT_INTAKE_LIMIT_ADDRESS": "3 per hour", "READMIT_RATE_LIMIT_URL": store}
    first = await start_intake(**changes)
    second: Intake = await start_intake(database_url=first.database_url, **changes)
    for number in range(5):
        client = (first, second)[number % 2].client()
        body = {"email": "amelia@example.org", "issue": "other"}
        assert (await client.post(PATH, json=body)).status_code == 202
    assert len(await first.events("readmit.assistance.requested.v1")) == 3
    assert len(await first.events("readmit.assistance.suppressed.v1")) == 2
