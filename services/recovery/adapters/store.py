"""One transaction with all of recovery's tables in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import text

from services.recovery.adapters.accounts import SqlAccounts
from services.recovery.adapters.actions import SqlActions
from services.recovery.adapters.activity import SqlActivityLog, SqlAnswers
from services.recovery.adapters.credentials import SqlCredentials
from services.recovery.adapters.mails import SqlMails
from services.recovery.adapters.requests import SqlRequests
from services.recovery.ports import Accounts, Actions, ActivityLog, Answers, Credentials, Mails, Requests, Transaction
from shared.kit.db.unit import Database, UnitOfWork
from shared.schemas.envelope import Event

_NOW = text("SELECT clock_timestamp()")


class SqlTransaction:
    """The port `Transaction` over a unit of work."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._unit = unit
        connection = unit.connection
        self.accounts: Accounts = SqlAccounts(connection)
        self.actions: Actions = SqlActions(connection)
        self.credentials: Credentials = SqlCredentials(connection)
        self.mails: Mails = SqlMails(unit)
        self.requests: Requests = SqlRequests(connection)
        self.activity: ActivityLog = SqlActivityLog(connection)
        self.answers: Answers = SqlAnswers(connection)

    async def now(self) -> datetime:
        moment: datetime = (await self._unit.connection.execute(_NOW)).scalar_one()
        return moment

    def publish(self, event: Event[Any], *, key: str) -> None:
        self._unit.publish(event, key=key)


class SqlTransactions:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        async with self._database.begin() as unit:
            yield SqlTransaction(unit)
