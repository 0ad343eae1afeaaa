"""An administrator asks for an access email or a recovery code."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from services.recovery.domain.account import Account, HashAddress
from services.recovery.domain.actions import Action, ActionStatus
from services.recovery.domain.permissions import Denial, Permissions
from services.recovery.domain.problems import Conflict, NotFound, NotPermitted, Unacceptable
from services.recovery.ports import Caller, Transaction, Transactions, Window
from services.recovery.usecases.chronicle import Chronicle, common
from services.recovery.usecases.look_up import record_denial
from shared.kit.clock import NewId
from shared.schemas.identity import AccountStatus
from shared.schemas.recovery import (
    AccessEmailRequested,
    AccessEmailRequestedData,
    ActionDeniedData,
    ActionKind,
    CodeRequested,
    CodeRequestedData,
)

REQUEST_AGE = timedelta(days=7)
"""How far back an open request is taken to be what an action is about (contract section 7)."""


@dataclass(frozen=True, slots=True)
class ActionOrder:
    """What was asked for."""

    kind: ActionKind
    account_id: str
    reason: str
    details: str | None = None
    on_behalf_of: str | None = None
    reference_id: str | None = None
    verification: dict[str, Any] | None = None
    idempotency_key: str | None = None
    fingerprint: bytes = b""


class RequestAction:
    """Checks in the contract's order, replaces the old action of the kind, and queues the mail."""

    def __init__(
        self,
        transactions: Transactions,
        permissions: Permissions,
        reasons: Collection[str],
        hash_address: HashAddress,
        window: Window,
        chronicle: Chronicle,
        new_id: NewId,
    ) -> None:
        self._transactions = transactions
        self._permissions = permissions
        self._reasons = reasons
        self._hash_address = hash_address
        self._window = window
        self._chronicle = chronicle
        self._new_id = new_id

    async def __call__(self, caller: Caller, order: ActionOrder) -> str:
        """The action's id. Raises NotPermitted, NotFound, Unacceptable, Conflict."""
        async with self._transactions.begin() as tx:
            outcome = await self._decide(tx, caller, order)
        if isinstance(outcome, Denial):
            raise NotPermitted(outcome)  # outside, so that the event of it is committed
        return outcome

    async def _decide(self, tx: Transaction, caller: Caller, order: ActionOrder) -> Denial | str:
        admin = await tx.accounts.find(caller.account) if caller.account else None
        denial = self._permissions.to_ask(admin, order.kind)
        if denial is not None or admin is None:
            assert denial is not None
            return await self._deny(tx, caller, order, denial)
        target = await tx.accounts.find(order.account_id, lock=True)
        if target is None:
            raise NotFound("No such account.")
        denial = self._permissions.to_act_on(admin, target)
        if denial is not None:
            return await self._deny(tx, caller, order, denial)
        action_id = self._new_id()
        if order.idempotency_key is not None:
            earlier = await tx.answers.claim(caller.subject, order.idempotency_key, order.fingerprint, action_id)
            if earlier is not None:
                return _same(earlier, order)
        reference_id = await self._check_named(tx, order)
        conflict = await conflict_of(tx, order.kind, target, self._window)
        if conflict is not None:
            raise conflict
        await self._replace(tx, caller, order)
        await self._add(tx, caller, order, admin, target, action_id, reference_id)
        return action_id

    async def _deny(self, tx: Transaction, caller: Caller, order: ActionOrder, denial: Denial) -> Denial:
        data = ActionDeniedData(
            actor=caller.actor,
            subject=order.account_id,
            on_behalf_of=order.on_behalf_of,
            reference_id=order.reference_id,
            reason=denial.rule.value,
            kind=order.kind,
            given_reason=order.reason if order.reason in self._reasons else None,
            details=order.details,
            verification=order.verification,
            ip=caller.ip,
            user_agent=caller.user_agent,
        )
        await record_denial(tx, self._chronicle, caller, denial, data)
        return denial

    async def _check_named(self, tx: Transaction, order: ActionOrder) -> str | None:
        """What the order names has to be there; returns the reference that the action is about."""
        if order.reason not in self._reasons:
            raise Unacceptable("reason", "not one of the predefined reasons")
        if order.on_behalf_of is not None and await tx.accounts.find(order.on_behalf_of) is None:
            raise Unacceptable("on_behalf_of", "no such account")
        if order.reference_id is None:
            since = (await tx.now()).astimezone(UTC) - REQUEST_AGE
            return await _only_open(tx, order.account_id, since)
        request = await tx.requests.find(order.reference_id)
        if request is not None and request.account_id not in (None, order.account_id):
            raise Unacceptable("reference_id", "a request for another account")
        return order.reference_id

    async def _replace(self, tx: Transaction, caller: Caller, order: ActionOrder) -> None:
        for old in await tx.actions.live_of([order.account_id], order.kind):
            ended = await tx.actions.end(old.action_id, ActionStatus.SUPERSEDED, "superseded")
            if ended is not None:
                await self._chronicle.cancelled(tx, ended, "superseded", actor=caller.actor)

    async def _add(
        self,
        tx: Transaction,
        caller: Caller,
        order: ActionOrder,
        admin: Account,
        target: Account,
        action_id: str,
        reference_id: str | None,
    ) -> None:
        action = await tx.actions.add(
            Action(
                action_id=action_id,
                kind=order.kind,
                account_id=target.account_id,
                status=ActionStatus.QUEUED,
                actor=caller.actor,
                issued_at=datetime.min.replace(tzinfo=UTC),  # the database's clock says
                address_hash=self._hash_address(target.email),
                reason=order.reason,
                actor_level=admin.data_protection_access,
                actor_expert=admin.expert_mode,
                reference_id=reference_id,
                on_behalf_of=order.on_behalf_of,
                details=order.details,
                verification=order.verification,
            )
        )
        await tx.mails.add(self._new_id(), action_id, None)
        values = {
            **common(action, caller.actor),
            "reason": order.reason,
            "details": order.details,
            "verification": order.verification,
            "ip": caller.ip,
            "user_agent": caller.user_agent,
        }
        if order.kind is ActionKind.RECOVERY_CODE:
            await self._chronicle.record(tx, CodeRequested, CodeRequestedData(**values), key=target.account_id)
        else:
            await self._chronicle.record(
                tx, AccessEmailRequested, AccessEmailRequestedData(**values), key=target.account_id
            )


async def conflict_of(tx: Transaction, kind: ActionKind, target: Account, window: Window) -> Conflict | None:
    """Why the account is in no state for the action; None where it is."""
    if target.status is AccountStatus.DISABLED:
        return Conflict("disabled", "This account is disabled.")
    if not target.deliverable:
        return Conflict("no-address", "This account has no address that mail can be delivered to.")
    if kind is ActionKind.RECOVERY_CODE and not await tx.credentials.attempts_left(target.account_id, window):
        return Conflict("attempts-used-up", "Too many wrong codes were tried for this account; try again later.")
    return None


def _same(earlier: tuple[bytes, str], order: ActionOrder) -> str:
    fingerprint, action_id = earlier
    if fingerprint != order.fingerprint:
        raise Unacceptable("Idempotency-Key", "used before for another request")
    return action_id


async def _only_open(tx: Transaction, account_id: str, since: datetime) -> str | None:
    requests = await tx.requests.open_of(account_id, since)
    return requests[0].reference_id if len(requests) == 1 else None
