"""The desk: what an administrator may look at and take on, with the permission asked of the directory each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from services.recovery.domain.account import Account
from services.recovery.domain.actions import Action
from services.recovery.domain.permissions import Denial, Permissions
from services.recovery.domain.problems import Conflict, NotFound, NotPermitted
from services.recovery.ports import Activity, Caller, Request, Transaction, Transactions
from services.recovery.usecases.chronicle import Chronicle
from shared.schemas.recovery import (
    ActionDenied,
    ActionDeniedData,
    RequestClaimed,
    RequestClaimedData,
    RequestClosed,
    RequestClosedData,
    Resolution,
)

T = TypeVar("T")


async def record_denial(
    tx: Transaction, chronicle: Chronicle, caller: Caller, denial: Denial, data: ActionDeniedData | None = None
) -> None:
    """Publishes that somebody was refused."""
    if data is None:
        data = ActionDeniedData(
            actor=caller.actor, reason=denial.rule.value, ip=caller.ip, user_agent=caller.user_agent
        )
    await chronicle.record(tx, ActionDenied, data, key=data.subject or chronicle.key_of(caller))


class Desk:
    """Every method raises NotPermitted, and publishes that it did."""

    def __init__(self, transactions: Transactions, permissions: Permissions, chronicle: Chronicle) -> None:
        self._transactions = transactions
        self._permissions = permissions
        self._chronicle = chronicle

    async def _do(self, caller: Caller, work: Callable[[Transaction, Account], Awaitable[T]]) -> T:
        async with self._transactions.begin() as tx:
            admin = await tx.accounts.find(caller.account) if caller.account else None
            denial = self._permissions.to_look(admin)
            if denial is None and admin is not None:
                return await work(tx, admin)
            assert denial is not None
            await record_denial(tx, self._chronicle, caller, denial)
        raise NotPermitted(denial)

    async def admit(self, caller: Caller) -> Account:
        """The administrator's own account."""

        async def work(_: Transaction, admin: Account) -> Account:
            return admin

        return await self._do(caller, work)

    async def search_accounts(
        self, caller: Caller, query: str, *, limit: int, after: tuple[str, str] | None
    ) -> Sequence[Account]:
        async def work(tx: Transaction, _: Account) -> Sequence[Account]:
            return await tx.accounts.search(query, limit=limit, after=after)

        return await self._do(caller, work)

    async def account(self, caller: Caller, account_id: str) -> Account:
        """Raises NotFound."""

        async def work(tx: Transaction, _: Account) -> Account:
            return await _known(tx, account_id)

        return await self._do(caller, work)

    async def activity(
        self, caller: Caller, account_id: str, *, limit: int, after: tuple[datetime, int] | None
    ) -> Sequence[tuple[int, Activity]]:
        """Newest first, each with what the next page begins after. Raises NotFound."""

        async def work(tx: Transaction, _: Account) -> Sequence[tuple[int, Activity]]:
            await _known(tx, account_id)
            return await tx.activity.page(account_id, limit=limit, after=after)

        return await self._do(caller, work)

    async def action(self, caller: Caller, action_id: str) -> tuple[Action, datetime]:
        """The action, and the database's time. Raises NotFound."""

        async def work(tx: Transaction, _: Account) -> tuple[Action, datetime]:
            action = await tx.actions.find(action_id)
            if action is None:
                raise NotFound("No such action.")
            return action, await tx.now()

        return await self._do(caller, work)

    async def requests(
        self, caller: Caller, state: str | None, *, limit: int, after: tuple[datetime, str] | None
    ) -> Sequence[Request]:
        async def work(tx: Transaction, _: Account) -> Sequence[Request]:
            return await tx.requests.search(state, limit=limit, after=after)

        return await self._do(caller, work)

    async def claim(self, caller: Caller, reference_id: str) -> Request:
        """Says that the caller is on it; saying it again changes nothing. Raises NotFound, Conflict."""

        async def work(tx: Transaction, _: Account) -> Request:
            request = await _open(tx, reference_id)
            if request.claimed_by == caller.actor:
                return request
            if request.claimed_by is not None:
                raise Conflict("claimed", "Somebody else is on this request.")
            await tx.requests.claim(reference_id, caller.actor)
            data = RequestClaimedData(
                reference_id=reference_id,
                actor=caller.actor,
                subject=request.account_id,
                ip=caller.ip,
                user_agent=caller.user_agent,
            )
            await self._chronicle.record(tx, RequestClaimed, data, key=request.account_id or request.email_hash)
            return await _request(tx, reference_id)

        return await self._do(caller, work)

    async def close(self, caller: Caller, reference_id: str, outcome: Resolution, note: str | None) -> Request:
        """Raises NotFound, Conflict."""

        async def work(tx: Transaction, _: Account) -> Request:
            request = await _open(tx, reference_id)
            await tx.requests.close(reference_id, caller.actor, outcome.value, note)
            data = RequestClosedData(
                reference_id=reference_id,
                actor=caller.actor,
                subject=request.account_id,
                resolution=outcome,
                note=note,
                ip=caller.ip,
                user_agent=caller.user_agent,
            )
            await self._chronicle.record(tx, RequestClosed, data, key=request.account_id or request.email_hash)
            return await _request(tx, reference_id)

        return await self._do(caller, work)


async def _known(tx: Transaction, account_id: str) -> Account:
    account = await tx.accounts.find(account_id)
    if account is None:
        raise NotFound("No such account.")
    return account


async def _request(tx: Transaction, reference_id: str) -> Request:
    request = await tx.requests.find(reference_id, lock=True)
    if request is None:
        raise NotFound("No such request.")
    return request


async def _open(tx: Transaction, reference_id: str) -> Request:
    request = await _request(tx, reference_id)
    if request.state != "open":
        raise Conflict("closed", "This request is closed.")
    return request
