"""Forgetting idempotency keys that have expired; one that is still there is taken over by its next use."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_FORGET = text("DELETE FROM idempotency_keys WHERE expires_at < now()")


async def forget_expired_keys(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(_FORGET)
