"""Simultaneous redemptions and guesses, each beside a twin with the known mistake, which the same test catches.

CVE-2026-3590 (Mattermost: a magic link was looked up, then deleted), keycloak #26106 (recovery codes checked, then
removed), CVE-2024-1722 (Keycloak: a limit overrun by guesses at the same time).
"""

# ruff: noqa: F401, F811 (fixtures are imported to be found by name)
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.recovery.adapters.actions import SqlActions
from services.recovery.adapters.credentials import SqlCredentials
from services.recovery.domain.actions import MAX_WRONG_ATTEMPTS
from services.recovery.ports import Window
from shared.kit.addresses import AddressHasher
from tests.integration.recovery.conftest import recovery, sink
from tests.integration.recovery.desk import Recovery

RACERS = 40

Step = Callable[[AsyncConnection], Awaitable[bool]]


async def race(recovery: Recovery, step: Step) -> int:
    """Runs a step in many transactions at once; returns how often it succeeded."""

    async def one() -> bool:
        async with recovery.plumbing.engine.begin() as connection:
            return await step(connection)

    return sum(await asyncio.gather(*(one() for _ in range(RACERS))))


async def issued(recovery: Recovery) -> tuple[str, str, str, str]:
    """Action, credential, code and address."""
    target = await recovery.account()
    action_id, code = await recovery.mailed_code(target)
    (row,) = await recovery.rows("SELECT credential_id FROM credentials WHERE action_id = :id", id=action_id)
    return action_id, row.credential_id, code, target.email


async def test_redemption_has_one_winner(recovery: Recovery) -> None:
    action_id, credential_id, _, _ = await issued(recovery)

    async def redeem(connection: AsyncConnection) -> bool:
        return await SqlActions(connection).redeem(action_id, credential_id) is not None

    assert await race(recovery, redeem) == 1


async def test_the_twin_that_looks_first_has_many(recovery: Recovery) -> None:
    action_id, _, _, _ = await issued(recovery)

    async def look_then_use(connection: AsyncConnection) -> bool:
        live = text("SELECT 1 FROM actions WHERE action_id = :id AND status IN ('queued', 'sent')")
        if (await connection.execute(live, {"id": action_id})).first() is None:
            return False
        await connection.execute(text("UPDATE actions SET status = 'used' WHERE action_id = :id"), {"id": action_id})
        return True

    assert await race(recovery, look_then_use) > 1


async def test_guesses_are_counted_exactly(recovery: Recovery) -> None:
    action_id, _, code, email = await issued(recovery)
    hashes = AddressHasher(recovery.settings.hash_key).all(email)
    window = Window(1000, recovery.use_cases.redeem._window.period)

    async def count(connection: AsyncConnection) -> bool:
        return bool(await SqlCredentials(connection).count_attempt(hashes, code[:4], window))

    assert await race(recovery, count) == MAX_WRONG_ATTEMPTS
    assert (await recovery.status(action_id))["wrong_attempts"] == MAX_WRONG_ATTEMPTS


async def test_the_twin_that_reads_the_count_first_is_overrun(recovery: Recovery) -> None:
    action_id, _, _, _ = await issued(recovery)

    async def read_then_count(connection: AsyncConnection) -> bool:
        reading = text("SELECT wrong_attempts FROM actions WHERE action_id = :id")
        attempts = (await connection.execute(reading, {"id": action_id})).scalar_one()
        if attempts >= MAX_WRONG_ATTEMPTS:
            return False
        writing = text("UPDATE actions SET wrong_attempts = :attempts WHERE action_id = :id")
        await connection.execute(writing, {"id": action_id, "attempts": attempts + 1})
        return True

    assert await race(recovery, read_then_count) > MAX_WRONG_ATTEMPTS
