"""A transaction with notifier's repositories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from services.notifier.adapters.accounts import PostgresAccounts
from services.notifier.adapters.deliveries import PostgresDeliveries
from services.notifier.adapters.requests import PostgresRequests
from services.notifier.ports import BeginWork, Work
from shared.kit.db.unit import Database, UnitOfWork


def work_in(unit: UnitOfWork) -> Work:
    """The repositories of a transaction that somebody else ends."""
    return Work(unit, PostgresAccounts(unit), PostgresRequests(unit), PostgresDeliveries(unit))


def begin_work(database: Database) -> BeginWork:
    """How use cases begin transactions of their own."""

    @asynccontextmanager
    async def begin() -> AsyncIterator[Work]:
        async with database.begin() as unit:
            yield work_in(unit)

    def begun() -> AbstractAsyncContextManager[Work]:
        return begin()

    return begun
