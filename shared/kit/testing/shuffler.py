"""Publishes every message twice and out of order, within a bounded window: a topic as bad as at-least-once allows.

It stands between the relay and Kafka, so the disorder is really in the topic: offsets, keys and partitions are those of
a broker. The relay still waits until its messages were acknowledged, and nothing is published less often than without.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any, Literal

from shared.kit.messaging.relay import Publisher

HOLD_SECONDS = 0.06  # a window that nothing fills is emptied then: e2e tests wait for each step
# How often the window may move past a message that chance never picks.
_PATIENCE = 4


@dataclass(slots=True)
class _Held:
    message: bytes
    topic: str
    key: bytes
    headers: dict[str, str]
    acknowledged: asyncio.Future[Any] | None  # None: the second copy, which nobody waits for
    overtaken: int = 0


class Shuffler:
    """A publisher that holds messages back, and releases one of them at random for each that comes.

    Args:
        publisher: where they go in the end.
        window: how many are held at most.
        chance: where the order comes from; a seed makes it the same again.
    """

    def __init__(self, publisher: Publisher, window: int, chance: random.Random) -> None:
        self._publisher = publisher
        self._window = window
        self._chance = chance
        self._held: list[_Held] = []
        self._emptying: asyncio.Task[None] | None = None

    async def publish(
        self, message: bytes, topic: str, *, key: bytes, headers: dict[str, str], no_confirm: Literal[True]
    ) -> asyncio.Future[Any]:
        """Takes a message; the future is done when its first copy was acknowledged."""
        acknowledged: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._held.append(_Held(message, topic, key, headers, acknowledged))
        while len(self._held) > self._window:
            await self._release()
        if self._emptying is None or self._emptying.done():
            self._emptying = asyncio.create_task(self._empty(), name="shuffler")
        return acknowledged

    async def _empty(self) -> None:
        while self._held:
            count = len(self._held)
            await asyncio.sleep(HOLD_SECONDS)
            for _ in range(min(count, len(self._held))):
                await self._release()

    async def _release(self) -> None:
        held = self._pick()
        try:
            sent = await self._publisher.publish(
                held.message, held.topic, key=held.key, headers=held.headers, no_confirm=True
            )
        except Exception as error:
            if held.acknowledged is not None and not held.acknowledged.done():
                held.acknowledged.set_exception(error)
            return
        if held.acknowledged is None:
            sent.add_done_callback(_forget)
            return
        _follow(sent, held.acknowledged)
        self._held.append(_Held(held.message, held.topic, held.key, held.headers, None))

    def _pick(self) -> _Held:
        index = self._chance.randrange(len(self._held))
        if self._held[0].overtaken >= self._window * _PATIENCE:
            index = 0
        for passed in self._held[:index]:
            passed.overtaken += 1
        return self._held.pop(index)


def _follow(sent: asyncio.Future[Any], acknowledged: asyncio.Future[Any]) -> None:
    def settle(done: asyncio.Future[Any]) -> None:
        if acknowledged.done():
            _forget(done)
        elif done.cancelled():
            acknowledged.cancel()
        elif error := done.exception():
            acknowledged.set_exception(error)
        else:
            acknowledged.set_result(done.result())

    sent.add_done_callback(settle)


def _forget(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()  # looked at, so that nobody complains that it was not
