"""An outbox that ages and a queue that is stuck, made so; and what only looks like it."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from faststream_outbox import ConstantRetry
from sqlalchemy import text

from deploy.local.children import Child
from shared.kit.db.unit import Publication
from shared.kit.ledger import replay as replay_ledger
from shared.kit.messaging.broker import broker_answers
from shared.kit.messaging.outbox_watchdog import QueueWatchdog, alarm_raised, oldest_seconds, waiting_rows
from tests.engines import broker_program, free_port, postgres
from tests.integration.kit.conftest import Toy, running_toy, toy_settings, wait_for
from tests.integration.kit.test_messaging import publish

CHECK = 0.25
QUICK = {"watchdog_queue_seconds": 1.0, "watchdog_alarm_seconds": 1.0, "watchdog_job_seconds": 1.5}
UNHURRIED = {"watchdog_queue_seconds": 4.0, "watchdog_alarm_seconds": 4.0, "watchdog_job_seconds": 60.0}


def watch(toy: Toy, queue: str = "relay", check: float = CHECK, **limits: float) -> QueueWatchdog:
    settings = toy.plumbing.settings.model_copy(update=QUICK | limits)
    return QueueWatchdog(
        queue, toy.plumbing.engine, toy.plumbing.activity, settings, lambda: broker_answers(settings),
        check_seconds=check,
    )  # fmt: skip


@asynccontextmanager
async def watching(watchdog: QueueWatchdog) -> AsyncIterator[list[str]]:
    """What it said meanwhile, looking all the time."""
    said: list[str] = []

    async def note() -> None:
        while True:
            said.extend(filter(None, [await watchdog.stuck(), await watchdog.alarm()]))
            await asyncio.sleep(0.02)

    await watchdog.start()
    noting = asyncio.create_task(note())
    try:
        yield said
    finally:
        noting.cancel()
        await asyncio.gather(noting, return_exceptions=True)
        await watchdog.stop()


async def subscribe(toy: Toy, queue: str, work: Callable[[], Awaitable[None]], **options: Any) -> None:
    """A queue of jobs in the running service."""

    @toy.plumbing.outbox.subscriber(queue, min_fetch_interval=0.05, max_fetch_interval=0.1, **options)
    async def job(_: dict[str, Any]) -> None:
        await work()

    await toy.plumbing.outbox.stop()
    await toy.plumbing.outbox.start()


async def enqueue(toy: Toy, queue: str, *, count: int = 1, not_before: datetime | None = None) -> None:
    async with toy.plumbing.database.begin() as unit:
        for _ in range(count):
            unit.enqueue(queue, {}, not_before=not_before)


async def outbox_empty(toy: Toy) -> bool:
    return not await toy.rows("SELECT id FROM outbox LIMIT 1")


async def test_a_relay_whose_sends_hang_is_not_live(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    held = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> None:
        await held.wait()

    async with watching(watchdog := watch(toy)):
        monkeypatch.setattr(toy.plumbing.kafka, "publish", hang)
        await publish(toy, toy.event())
        await wait_for(watchdog.stuck)
        assert "though the broker answers" in str(await watchdog.stuck())
        assert waiting_rows.labels("relay")._value.get() == 1
        assert oldest_seconds.labels("relay")._value.get() >= 1
        monkeypatch.undo()
        held.set()
        await wait_for(lambda: outbox_empty(toy), 30)  # the lease of the row that hung is 20 s
        await wait_for(lambda: _is_quiet(watchdog))


async def _is_quiet(watchdog: QueueWatchdog) -> bool:
    return await watchdog.stuck() is None and await watchdog.alarm() is None


async def test_a_relay_without_its_tasks_is_not_live(toy: Toy) -> None:
    for subscriber in toy.plumbing.outbox.subscribers:
        for task in getattr(subscriber, "tasks", ()):
            task.cancel()
    async with watching(watchdog := watch(toy)):
        await publish(toy, toy.event())
        await wait_for(watchdog.stuck)


async def test_a_broker_that_refuses_a_message_raises_an_alarm_and_no_restart(toy: Toy) -> None:
    # The relay tries again every 2 s or so.
    async with watching(watchdog := watch(toy, watchdog_queue_seconds=4.0)):
        async with toy.plumbing.database.begin() as unit:
            unit.publish_raw(replace(Publication.of(toy.event(), "k"), topic=toy.topic, value=b"x" * 3_000_000))
        await wait_for(watchdog.alarm)
        assert "MessageSizeTooLargeError" in str(await watchdog.alarm())
        assert alarm_raised.labels("relay")._value.get() == 1
        await asyncio.sleep(6)
        assert await watchdog.stuck() is None


async def test_a_broker_that_stands_still_raises_an_alarm_and_no_restart(tmp_path: Path, toy: Toy) -> None:
    port = free_port()
    child = Child(broker_program(port, tmp_path))
    await child.start()
    try:
        await child.until_ready(15)
        database = toy.plumbing.settings.database_url
        async with running_toy(toy_settings(database, [f"127.0.0.1:{port}"], "embedded"), toy.topic) as other:
            await toy.plumbing.outbox.stop()  # of the fixture's process, on the same database
            assert child.pid is not None
            os.kill(child.pid, signal.SIGSTOP)
            try:
                async with watching(watchdog := watch(other)) as said:
                    await publish(other, other.event())
                    await wait_for(watchdog.alarm, 30)
                    assert "the broker does not answer" in str(await watchdog.alarm())
                    assert not [reason for reason in said if "though the broker answers" in reason]
                    os.kill(child.pid, signal.SIGCONT)
                    await wait_for(lambda: outbox_empty(other), 60)
                    await wait_for(lambda: _is_quiet(watchdog))
                    assert not [reason for reason in said if "though the broker answers" in reason]
            finally:
                os.kill(child.pid, signal.SIGCONT)
    finally:
        await child.stop()


async def test_the_health_pages_tell_the_two_apart(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, str] = {}

    async def stuck(_: QueueWatchdog) -> str | None:
        return said.get("stuck")

    async def alarm(_: QueueWatchdog) -> str | None:
        return said.get("alarm")

    monkeypatch.setattr(QueueWatchdog, "stuck", stuck)
    monkeypatch.setattr(QueueWatchdog, "alarm", alarm)
    app = toy.plumbing.application(title="toy", description="toy", needs_broker=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://toy") as client:
        assert (await client.get("/health/live")).status_code == 200
        said["alarm"] = "rows have waited"
        ready = await client.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["notes"]["queue relay"] == "rows have waited"
        assert (await client.get("/health/live")).status_code == 200
        said["stuck"] = "nobody takes them"
        live = await client.get("/health/live")
        assert live.status_code == 503
        assert live.json()["problems"] == dict.fromkeys(("queue relay", "queue refill"), "nobody takes them")


async def test_a_worker_that_never_ends_and_workers_that_are_gone_are_not_live(toy: Toy) -> None:
    never = asyncio.Event()

    async def wedge() -> None:
        await never.wait()

    await subscribe(toy, "mail", wedge, max_workers=1)
    async with watching(watchdog := watch(toy, "mail")) as said:
        await enqueue(toy, "mail")
        await wait_for(watchdog.stuck)
        assert "has not ended" in str(await watchdog.stuck())
        never.set()
        await wait_for(lambda: outbox_empty(toy))
        await wait_for(lambda: _is_quiet(watchdog))
        for subscriber in toy.plumbing.outbox.subscribers:
            for task in getattr(subscriber, "tasks", ()):
                task.cancel()
        said.clear()
        await enqueue(toy, "mail")
        await wait_for(watchdog.stuck)
        assert "nobody takes them" in str(await watchdog.stuck())


async def test_rows_that_somebody_else_holds_raise_an_alarm_and_no_restart(toy: Toy) -> None:
    async def work() -> None:
        return

    await subscribe(toy, "mail", work)
    async with toy.plumbing.engine.connect() as connection:
        await toy.plumbing.outbox.stop()
        await enqueue(toy, "mail")
        await connection.execute(text("SELECT id FROM outbox FOR UPDATE"))
        await toy.plumbing.outbox.start()
        async with watching(watchdog := watch(toy, "mail")):
            await wait_for(watchdog.alarm)
            await asyncio.sleep(QUICK["watchdog_queue_seconds"])
            assert await watchdog.stuck() is None
            await connection.rollback()
            await wait_for(lambda: outbox_empty(toy))
            await wait_for(lambda: _is_quiet(watchdog))


async def test_jobs_put_off_until_later_and_mails_answered_4xx_for_hours_are_no_alarm(toy: Toy) -> None:
    attempts = 0

    async def refuse() -> None:
        nonlocal attempts
        attempts += 1
        raise RuntimeError("451 try later")

    await subscribe(toy, "mail", refuse, retry_strategy=ConstantRetry(delay_seconds=0.7))
    async with watching(watch(toy, "mail")) as said:
        await enqueue(toy, "mail", not_before=datetime.now(UTC) + timedelta(hours=1))
        await enqueue(toy, "mail")
        await toy_age(toy, hours=24)
        await wait_for(lambda: attempts >= 6)
        assert said == []
        assert waiting_rows.labels("mail")._value.get() == 2


async def toy_age(toy: Toy, *, hours: int) -> None:
    async with toy.plumbing.engine.begin() as connection:
        await connection.execute(text(f"UPDATE outbox SET created_at = created_at - interval '{hours} hours'"))


async def test_a_step_of_the_databases_clock_is_no_alarm(toy: Toy) -> None:
    """Rows look an hour old from one look to the next, for as long as they take to be worked off."""

    async def work() -> None:
        await asyncio.sleep(0.4)

    await subscribe(toy, "mail", work, max_workers=1)
    async with watching(watch(toy, "mail")) as said:
        for _ in range(3):
            await enqueue(toy, "mail", count=3)
            async with toy.plumbing.engine.begin() as connection:
                await connection.execute(
                    text("UPDATE outbox SET next_attempt_at = next_attempt_at - interval '1 hour' "
                         "WHERE acquired_token IS NULL")
                )  # fmt: skip
            await wait_for(lambda: outbox_empty(toy))
        assert said == []


async def test_time_in_which_the_process_was_suspended_is_held_against_nobody(toy: Toy) -> None:
    """SIGSTOP for a minute: at the first look afterwards rows are old, and nobody was there to take them."""
    await toy.plumbing.outbox.stop()
    await publish(toy, toy.event())
    await toy_age(toy, hours=1)
    watchdog = watch(toy)
    for _ in range(2):
        await watchdog.check()
    assert await _is_quiet(watchdog)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_hundred_thousand_messages_queued_at_once_are_no_alarm(toy: Toy) -> None:
    event = toy.event()
    async with toy.plumbing.engine.begin() as connection:
        await connection.execute(
            text("""
                INSERT INTO ledger (source, event_id, type, topic, key, value, time)
                SELECT '/test', 'x' || i, 'none', :topic, 'k' || i, CAST(:value AS bytea), now()
                FROM generate_series(1, 100000) AS i
            """),
            {"topic": toy.topic, "value": event.to_bytes()},
        )
    async with watching(watch(toy, "relay", 1.0, **UNHURRIED)) as said:
        assert await replay_ledger(toy.plumbing.settings.database_url) == 100_000
        await wait_for(lambda: outbox_empty(toy), 300)
        assert said == []


async def test_without_a_database_nobody_is_stuck(tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    held = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> None:
        await held.wait()

    async with postgres(tmp_path) as engine:
        settings = toy_settings(await engine.create("toy"), toy.servers)
        async with running_toy(settings, toy.topic) as other, watching(watchdog := watch(other)):
            monkeypatch.setattr(other.plumbing.kafka, "publish", hang)
            await publish(other, other.event())
            await wait_for(watchdog.stuck)
            assert engine.child is not None
            await engine.child.stop()
            await wait_for(lambda: _is_quiet(watchdog))
            await asyncio.sleep(2 * QUICK["watchdog_queue_seconds"])
            assert await _is_quiet(watchdog)
            # Of the process: the fixture's own service says how old its oldest is, now and then.
            await wait_for(lambda: math.isnan(oldest_seconds.labels("relay")._value.get()))
            held.set()


async def test_the_probe_knows_a_broker_that_is_away(toy: Toy) -> None:
    assert await broker_answers(toy.plumbing.settings)
    nowhere = toy.plumbing.settings.model_copy(update={"kafka_bootstrap_servers": (f"127.0.0.1:{free_port()}",)})
    assert not await broker_answers(nowhere)
    admin = AIOKafkaAdminClient(bootstrap_servers=toy.servers)
    await admin.start()
    try:
        assert toy.topic in await admin.list_topics()
    finally:
        await admin.close()
