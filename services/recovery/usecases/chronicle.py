"""Saying what happened: the event for everybody, and the line in the account's own log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from services.recovery.domain.actions import Action
from services.recovery.ports import Activity, Caller, Transaction
from shared.kit.clock import Clock, NewId
from shared.schemas.action import service_actor
from shared.schemas.envelope import Event
from shared.schemas.recovery import ActionCancelled, ActionCancelledData, RecoveryData

SOURCE = "/readmit/recovery"
SERVICE = service_actor("recovery")


class Chronicle:
    """Writes both in the caller's transaction."""

    def __init__(self, clock: Clock, new_id: NewId, hash_text: Callable[[str], str]) -> None:
        self._clock = clock
        self._new_id = new_id
        self._hash_text = hash_text

    def key_of(self, caller: Caller) -> str:
        """The Kafka key of what is about nobody but the caller: hashed, since a token may call them by an address."""
        return self._hash_text(caller.actor)

    async def record(self, tx: Transaction, kind: type[Event[Any]], data: RecoveryData, *, key: str) -> None:
        """Publishes the event. `key` is the account's id, or the keyed hash of an address."""
        event = kind(id=self._new_id(), source=SOURCE, time=self._clock(), subject=data.subject, data=data)  # type: ignore[call-arg]
        tx.publish(event, key=key)
        await tell_accounts(tx, [event])

    async def cancelled(self, tx: Transaction, action: Action, reason: str, *, actor: str = SERVICE) -> None:
        """Records that an action was ended before it was used."""
        data = ActionCancelledData(**common(action, actor), reason=reason)
        await self.record(tx, ActionCancelled, data, key=action.account_id)


async def tell_accounts(tx: Transaction, events: Sequence[Event[Any]]) -> None:
    """Writes recovery's own events into the logs of the accounts that they are about."""
    await tx.activity.add([_line(event) for event in events if event.data.subject is not None])


def _line(event: Event[Any]) -> Activity:
    data = event.data
    return Activity(
        account_id=data.subject,
        at=event.time,
        type=event.type,
        outcome=data.outcome.value,
        actor=data.actor,
        on_behalf_of=data.on_behalf_of,
        reason=data.reason,
        details=getattr(data, "details", None),
        reference_id=data.reference_id,
        ip=data.ip,
    )


def common(action: Action, actor: str) -> dict[str, Any]:
    """What all events of an action share."""
    return {
        "reference_id": action.reference_id,
        "actor": actor,
        "on_behalf_of": action.on_behalf_of,
        "subject": action.account_id,
        "action_id": action.action_id,
        "kind": action.kind,
    }
