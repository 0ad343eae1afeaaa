"""Keeping recovery's own picture of accounts and requests, and ending what an account's events end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from services.recovery.domain.account import HashAddress, Registers, fold
from services.recovery.domain.actions import ActionStatus, why_over
from services.recovery.ports import Activity, HashesOfAddress, Request, Transaction
from services.recovery.usecases.chronicle import Chronicle
from shared.schemas.action import Outcome
from shared.schemas.enrichment import AssistanceEnriched
from shared.schemas.envelope import Event
from shared.schemas.identity import AccountReported, EmailChanged, SigninFailed, SigninSucceeded
from shared.schemas.intake import AssistanceRequested, AssistanceSuppressed

# Registers that can end an action; backup codes, locks and second factors can't.
_ENDING = frozenset({"state", "email", "removed", "ended"})


class ProjectAccounts:
    """Identity events into accounts and activity, a batch at a time and in any order."""

    def __init__(self, chronicle: Chronicle, hash_address: HashAddress, hashes: HashesOfAddress) -> None:
        self._chronicle = chronicle
        self._hash_address = hash_address
        self._hashes = hashes

    async def __call__(self, events: Sequence[Event[Any]], tx: Transaction) -> None:
        await self._end_actions(await self.project(events, tx), tx)

    async def project(self, events: Sequence[Event[Any]], tx: Transaction) -> dict[str, Registers]:
        """Writes what the events say, and decides nothing."""
        accounts = fold(events, self._hash_address)
        await tx.accounts.apply(accounts)
        await tx.activity.add([line for event in events if (line := _line(event)) is not None])
        return accounts

    async def _end_actions(self, accounts: dict[str, Registers], tx: Transaction) -> None:
        touched = [account_id for account_id, registers in accounts.items() if _ENDING & registers.keys()]
        if not touched:
            return
        for action in await tx.actions.live_of(touched):
            account = await tx.accounts.find(action.account_id)
            reason = why_over(action, account, self._hashes(account.email) if account else ())
            if reason is None:
                continue
            ended = await tx.actions.end(action.action_id, ActionStatus.CANCELLED, reason)
            if ended is not None:
                await self._chronicle.cancelled(tx, ended, reason)


def _line(event: Event[Any]) -> Activity | None:
    """The event as a line of the account's activity log; states are not activity."""
    account_id = getattr(event.data, "account_id", None)
    if account_id is None or isinstance(event, AccountReported):
        return None
    failed = isinstance(event, SigninFailed)
    return Activity(
        account_id=account_id,
        at=event.time,
        type=event.type,
        outcome=Outcome.FAILURE.value if failed else Outcome.SUCCESS.value,
        # Who failed to sign in is not known; whoever did the rest was let in as the owner.
        actor=None if failed else account_id,
        reason=event.data.failure.value if failed else None,
        details=_details(event),
        ip=getattr(event.data, "ip", None),
    )


def _details(event: Event[Any]) -> str | None:
    data = event.data
    if isinstance(event, EmailChanged):
        return f"{data.old or 'none'} → {data.new or 'none'}"
    words: Iterable[str | None] = (
        getattr(data, "method", None) if isinstance(event, SigninSucceeded) else None,
        getattr(getattr(data, "change", None), "value", None),
        f"{data.unused} unused" if hasattr(data, "unused") else None,
    )
    return ", ".join(word for word in words if word) or None


class ProjectRequests:
    """Assistance requests into the queue."""

    async def requested(self, event: AssistanceRequested | AssistanceSuppressed, tx: Transaction) -> None:
        data = event.data
        await tx.requests.add(
            Request(
                reference_id=data.reference_id,
                state="open",
                issue=data.issue.value,
                email=data.email,
                email_hash=data.email_hash,
                requested_at=data.requested_at,
                suppressed=isinstance(event, AssistanceSuppressed),
            )
        )

    async def enriched(self, event: AssistanceEnriched, tx: Transaction) -> None:
        """Adds the account that the request resolved to; makes the request where this came first."""
        data = event.data
        await tx.requests.resolve(
            Request(
                reference_id=data.reference_id,
                state="open",
                issue=data.request.issue.value,
                email=data.request.email,
                email_hash=data.request.email_hash,
                requested_at=data.request.requested_at,
                suppressed=False,
                account_id=data.resolved.account_id if data.resolved else None,
            )
        )
