"""When a source was last heard, over restarts."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from services.intake.adapters import feeds
from services.intake.adapters.feeds import FeedFreshness
from shared.kit.db.engine import create_engine
from tests.integration.intake.conftest import Intake, StartIntake
from tests.integration.intake.test_events import post, signin
from tests.integration.kit.conftest import wait_for

_numbers = itertools.count()


def a_source() -> str:
    return f"https://id{next(_numbers)}.example.org"  # the metrics are the process's


async def freshness(intake: Intake, source: str) -> float | None:
    """Seconds since the Unix epoch, as `/metrics` has it."""
    lines = (await intake.client().get("/metrics")).text.splitlines()
    start = f'readmit_intake_feed_last_accepted_seconds{{source="{source}"}} '
    return next((float(line.removeprefix(start)) for line in lines if line.startswith(start)), None)


async def test_accepted_events_are_heard_and_refused_ones_are_not(intake: Intake) -> None:
    heard, unheard, before = a_source(), a_source(), datetime.now(UTC).timestamp()
    assert (await post(intake.platform(), [signin(source=heard), signin(source=heard)])).status_code == 202
    assert (await post(intake.platform(), [signin(source=unheard), {"specversion": "1.0"}])).status_code == 422
    at = await freshness(intake, heard)
    assert at is not None
    assert before <= at <= datetime.now(UTC).timestamp()
    assert await freshness(intake, unheard) is None


async def test_a_repeated_event_is_a_sign_of_life_too(intake: Intake) -> None:
    source = a_source()
    event = signin(source=source)
    await post(intake.platform(), event)
    first = await freshness(intake, source)
    intake.clock.ahead = timedelta(minutes=3)
    await post(intake.platform(), event)
    second = await freshness(intake, source)
    assert first is not None
    assert second is not None
    assert 179 < second - first < 200


async def test_a_restart_forgets_no_silent_feed(start_intake: StartIntake) -> None:
    source = a_source()
    first = await start_intake()
    await post(first.platform(), signin(source=source))
    at = await freshness(first, source)
    await first.stop()
    feeds.last_accepted.remove(source)  # what the end of the process does
    second = await start_intake(database_url=first.database_url)

    async def known() -> bool:
        return await freshness(second, source) is not None

    await wait_for(known)
    again = await freshness(second, source)
    assert again == pytest.approx(at, abs=0.001)


async def test_the_later_of_two_replicas_words_stands(intake: Intake) -> None:
    engine = create_engine(intake.database_url, pool_size=1, application_name="test")
    late, early = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    source = a_source()
    try:
        for time in (late, early):
            replica = FeedFreshness(engine, clock=lambda time=time: time)  # type: ignore[misc]
            replica.heard([source])
            await replica.save()
        (row,) = await intake.rows("SELECT last_accepted FROM feeds WHERE source = $1", source)
        assert row["last_accepted"] == late
    finally:
        await engine.dispose()


async def test_metrics_stay_readable_whatever_sources_there_are(intake: Intake) -> None:
    engine = create_engine(intake.database_url, pool_size=1, application_name="test")
    try:
        freshness = FeedFreshness(engine, clock=lambda: datetime.now(UTC))
        freshness.heard(a_source() for _ in range(500))
        await freshness.save()
        rows = await intake.rows("SELECT source FROM feeds")
        assert len(rows) == 101
        assert "(others)" in {row["source"] for row in rows}
    finally:
        await engine.dispose()
