"""SIGTERM: everything ends within ten seconds (contract section 9), also while nothing wants to end."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from shared.kit.db.unit import UnitOfWork
from shared.kit.shutdown import HTTP_SECONDS
from shared.schemas.identity import PasswordChanged
from tests.integration.kit.conftest import Toy, wait_for
from tests.integration.kit.test_messaging import publish


async def test_a_service_whose_work_hangs_still_stops_in_time(toy: Toy) -> None:
    held: list[str] = []

    async def hang(_: PasswordChanged, __: UnitOfWork) -> None:
        held.append("event")
        await asyncio.sleep(60)

    toy.on_event = hang

    @toy.plumbing.outbox.subscriber("slow", min_fetch_interval=0.1, max_fetch_interval=0.2)
    async def slow(_: dict[str, Any]) -> None:
        held.append("job")
        await asyncio.sleep(60)

    await toy.plumbing.outbox.stop()
    await toy.plumbing.outbox.start()
    await publish(toy, toy.event())
    async with toy.plumbing.database.begin() as unit:
        unit.enqueue("slow", {})
    await wait_for(lambda: {"event", "job"} <= set(held))
    started = time.monotonic()
    await toy.plumbing.stop()
    # What uvicorn gives requests in flight comes before it.
    assert HTTP_SECONDS + time.monotonic() - started < 10
    toy.on_event = None
    await toy.plumbing.start()  # for the fixture to stop
    await wait_for(lambda: toy.plumbing.link.started.is_set())
