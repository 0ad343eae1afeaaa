"""Something that a service does again and again beside its work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from shared.kit.logging import get_logger

log = get_logger(__name__)

_SHARE = 20  # what takes long is done less often: never more than a twentieth of the time


class Periodic:
    """A component that does it at once and then every so many seconds, whatever becomes of it."""

    def __init__(self, name: str, work: Callable[[], Awaitable[None]], *, seconds: float) -> None:
        self._name = name
        self._work = work
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._work()
            except Exception as error:  # the database is away: next time
                log.warning("periodic.failed", name=self._name, error=type(error).__name__)
            await asyncio.sleep(max(self._seconds, _SHARE * (loop.time() - began)))
