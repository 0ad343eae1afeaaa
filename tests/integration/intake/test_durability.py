"""The database away, restarted or stuck: 503 soon, nothing half done, and nothing lost that was answered 202."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from services.intake.adapters.requests import RequestStore
from tests.engines import PostgresEngine, postgres
from tests.integration.intake.conftest import Intake, StartIntake
from tests.integration.intake.test_events import post, signin

PATH = "/v1/assistance-requests"
REQUEST = {"email": "amelia@example.org", "issue": "lost-2fa"}


@pytest_asyncio.fixture
async def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresEngine]:
    """A server that the test may stop."""
    async with postgres(tmp_path_factory.mktemp("own")) as engine:
        if engine.child is None:
            pytest.skip("needs a PostgreSQL of its own to stop")
        yield engine


def unavailable(answer: httpx.Response) -> bool:
    return (
        answer.status_code == 503
        and int(answer.headers["retry-after"]) > 0
        and answer.headers["content-type"] == "application/problem+json"
    )


async def timed(ask: Callable[[], Awaitable[httpx.Response]]) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    answer = await ask()
    return answer, time.monotonic() - started


async def test_a_stopped_database_is_503_and_a_started_one_takes_over(
    own_postgres: PostgresEngine, start_intake: StartIntake
) -> None:
    intake = await start_intake(database_url=await own_postgres.create("intake"))
    client, platform = intake.client(), intake.platform()
    accepted = [(await client.post(PATH, json=REQUEST)).json()["reference_id"]]
    assert own_postgres.child is not None
    await own_postgres.child.stop()
    for ask in (lambda: client.post(PATH, json=REQUEST), lambda: post(platform, signin())):
        answer, seconds = await timed(ask)
        assert unavailable(answer), answer.text
        assert seconds < 5
    page = await client.post("/", data=REQUEST)
    assert (page.status_code, page.headers["retry-after"]) == (503, "5")
    assert "nothing was sent" in page.text
    assert (await client.get("/health/ready")).status_code == 503
    assert (await client.get("/health/live")).status_code == 200
    await own_postgres.child.start()
    await own_postgres.child.until_ready(30)
    # Every connection of the pool is dead; that is intake's business and not the requester's.
    for _ in range(20):
        answer = await client.post(PATH, json=REQUEST)
        assert answer.status_code == 202
        accepted.append(answer.json()["reference_id"])
    events = await intake.events("readmit.assistance.requested.v1")
    assert [event["data"]["reference_id"] for event in events] == accepted


async def test_a_stuck_database_is_503_in_time_and_nothing_of_it_is_kept(intake: Intake) -> None:
    client, platform = intake.client(), intake.platform()
    holder = await asyncpg.connect(intake.database_url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE")
            answers = await asyncio.gather(
                *(timed(lambda: client.post(PATH, json=REQUEST)) for _ in range(20)),
                timed(lambda: post(platform, signin())),
            )
    finally:
        await holder.close()
    for answer, seconds in answers:
        assert unavailable(answer)
        assert seconds < 5.5
    again = await client.post(PATH, json=REQUEST)
    assert again.status_code == 202
    assert len(await intake.events()) == 1
    assert len(await intake.rows("SELECT 1 FROM requests")) == 1


async def test_a_write_whose_answer_was_lost_is_not_written_twice(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Committed, and then the connection broke: the second try finds the first one's row."""
    write, lost = RequestStore._write, 0

    async def lose_the_answer(self: RequestStore, entry: Any) -> Any:
        nonlocal lost
        answer = await write(self, entry)
        if lost < 2:
            lost += 1
            raise ConnectionResetError
        return answer

    monkeypatch.setattr(RequestStore, "_write", lose_the_answer)
    for headers in ({}, {"Idempotency-Key": "k"}):
        lost = 0
        answer = await intake.client().post(PATH, json=REQUEST, headers=headers)
        assert answer.status_code == 202
        assert lost == 2
        assert (await intake.events())[-1]["data"]["reference_id"] == answer.json()["reference_id"]
    assert len(await intake.events()) == 2
