"""What is done again and again goes on after a failure, and takes no more than its share."""

from __future__ import annotations

import asyncio
import itertools

from shared.kit.periodic import Periodic


async def test_it_goes_on_after_a_failure_and_ends_with_the_service() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(len(done))
        if len(done) == 1:
            raise ConnectionError

    periodic = Periodic("test", work, seconds=0.001)
    await periodic.start()
    async with asyncio.timeout(5):
        while len(done) < 3:
            await asyncio.sleep(0.001)
    await periodic.stop()
    after = len(done)
    await asyncio.sleep(0.02)
    assert len(done) == after


async def test_what_takes_long_is_done_less_often() -> None:
    began: list[float] = []

    async def work() -> None:
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)

    periodic = Periodic("test", work, seconds=0.0)
    await periodic.start()
    async with asyncio.timeout(5):
        while len(began) < 3:
            await asyncio.sleep(0.01)
    await periodic.stop()
    assert all(later - earlier > 0.2 for earlier, later in itertools.pairwise(began))


async def test_one_that_was_never_started_can_be_stopped() -> None:
    async def work() -> None:
        raise AssertionError

    await Periodic("test", work, seconds=1).stop()
