"""Forgetting idempotency keys that have expired."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.kit.logging import get_logger

log = get_logger(__name__)

_EVERY_SECONDS = 600.0
_FORGET = text("DELETE FROM idempotency_keys WHERE expires_at < now()")


class Housekeeping:
    """A task that tidies up now and then. A key that is still there after its time is taken over by its next use."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="housekeeping")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self.forget_expired_keys()
            except Exception as error:
                log.warning("housekeeping.failed", error=type(error).__name__)
            await asyncio.sleep(_EVERY_SECONDS)

    async def forget_expired_keys(self) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(_FORGET)
