"""What waits for Kafka may grow so far and no further; people are let in whatever waits."""

from __future__ import annotations

import pytest

from services.intake.adapters.backlog import Backlog
from shared.kit.db.engine import create_engine
from tests.integration.intake.conftest import Intake, StartIntake
from tests.integration.intake.test_durability import REQUEST, unavailable
from tests.integration.intake.test_events import post, signin
from tests.integration.kit.conftest import wait_for

NOBODY = ["127.0.0.1:1"]  # no broker: everything waits


async def test_events_beyond_the_mark_are_503_and_requests_are_taken(start_intake: StartIntake) -> None:
    intake = await start_intake(servers=NOBODY, READMIT_INTAKE_HIGH_WATER="10")
    client, platform = intake.client(), intake.platform()
    assert (await post(platform, [signin() for _ in range(9)])).status_code == 202
    assert (await post(platform, [signin() for _ in range(3)])).status_code == 202  # over the brim, once
    refused = [signin(), signin()]
    answer = await post(platform, refused)
    assert unavailable(answer), answer.text
    assert len(await intake.events()) == 12
    assert (await client.post("/v1/assistance-requests", json=REQUEST)).status_code == 202
    assert "messages wait for Kafka" in (await client.get("/health/ready")).text


async def test_what_waited_before_a_start_counts_too(start_intake: StartIntake) -> None:
    first = await start_intake(servers=NOBODY)
    assert (await post(first.platform(), [signin() for _ in range(12)])).status_code == 202
    await first.stop()
    second = await start_intake(servers=NOBODY, database_url=first.database_url, READMIT_INTAKE_HIGH_WATER="10")

    async def is_full() -> bool:
        return (await post(second.platform(), signin())).status_code == 503

    await wait_for(is_full)


async def test_it_opens_again_when_a_tenth_is_gone(intake: Intake) -> None:
    engine = create_engine(intake.database_url, pool_size=1, application_name="test")
    try:
        await _wait(intake, 100)
        backlog = Backlog(engine, 100)
        await backlog.look()
        assert backlog.is_full()
        assert await backlog.note() is not None
        for left, is_open in ((95, False), (90, False), (89, True)):
            await _wait(intake, left)
            await backlog.look()
            assert (await backlog.note() is None, not backlog.is_full()) == (is_open, is_open)
        backlog.added(11)
        assert backlog.is_full()
    finally:
        await engine.dispose()


@pytest.mark.parametrize("high_water", [0, 10**9])
async def test_off_or_far_away_admits_everything(intake: Intake, high_water: int) -> None:
    engine = create_engine(intake.database_url, pool_size=1, application_name="test")
    try:
        backlog = Backlog(engine, high_water)
        backlog.added(10**6)
        assert not backlog.is_full()
        assert await backlog.note() is None
    finally:
        await engine.dispose()


async def _wait(intake: Intake, count: int) -> None:
    """Leaves so many messages in the outbox, in rows as the relay has them, which nobody takes up today."""
    ids = ", ".join(str(number) for number in range(count))
    await intake.rows("DELETE FROM outbox")
    await intake.rows(
        """INSERT INTO outbox (queue, payload, headers, next_attempt_at)
           VALUES ('relay', convert_to($1, 'UTF8'), '{}', now() + interval '1 day')""",
        f'{{"ids": [{ids}]}}',
    )
