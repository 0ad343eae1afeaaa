"""Actions and what was mailed for them, in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.recovery.domain.actions import Action, ActionStatus
from services.recovery.ports import Credential
from shared.kit.failpoints import failpoint
from shared.schemas.recovery import ActionKind

_ADD = text("""
    INSERT INTO actions (action_id, kind, account_id, actor, actor_level, actor_expert, on_behalf_of, reference_id,
                         reason, details, verification, address_hash)
    VALUES (:action_id, :kind, :account_id, :actor, :actor_level, :actor_expert, :on_behalf_of, :reference_id,
            :reason, :details, CAST(:verification AS jsonb), :address_hash)
    RETURNING *
""")
_FIND = text("SELECT * FROM actions WHERE action_id = :action_id")
_FIND_LOCKED = text("SELECT * FROM actions WHERE action_id = :action_id FOR UPDATE")
_LIVE_OF = text("""
    SELECT * FROM actions
    WHERE account_id = ANY(CAST(:account_ids AS text[])) AND status IN ('queued', 'sent')
      AND (CAST(:kind AS text) IS NULL OR kind = :kind)
    ORDER BY action_id
""")
_LAST_OF = text("SELECT * FROM actions WHERE account_id = :account_id ORDER BY issued_at DESC LIMIT :limit")
_END = text("""
    UPDATE actions SET status = :status, ended_at = clock_timestamp(), ended_reason = :reason
    WHERE action_id = :action_id AND status IN ('queued', 'sent') RETURNING *
""")
# The one statement that uses an action up. A second one waits for the row, sees `used`, and finds nothing to update:
# of any number at once exactly one gets the row back (CVE-2026-3590, keycloak #26106).
_REDEEM = text("""
    UPDATE actions SET status = 'used', ended_at = clock_timestamp(), ended_reason = 'redeemed'
    WHERE action_id = :action_id AND status IN ('queued', 'sent')
      AND EXISTS (SELECT 1 FROM credentials AS c WHERE c.credential_id = :credential_id
                  AND c.action_id = actions.action_id AND c.expires_at > clock_timestamp())
    RETURNING *
""")
_ADD_CREDENTIAL = text("""
    INSERT INTO credentials (credential_id, action_id, address_hash, selector, lookup, key_id, salt, digest, expires_at)
    VALUES (:credential_id, :action_id, :address_hash, :selector, :lookup, :key_id, :salt, :digest,
            clock_timestamp() + :lifetime)
    ON CONFLICT DO NOTHING RETURNING expires_at
""")
_EXTEND = text("""
    UPDATE actions SET expires_at = greatest(expires_at, CAST(:expires_at AS timestamptz)) WHERE action_id = :action_id
""")
_MARK_SENT = text("""
    UPDATE actions SET status = CASE WHEN status = 'queued' THEN 'sent' ELSE status END,
                       sent_at = coalesce(sent_at, clock_timestamp())
    WHERE action_id = :action_id
""")
_EXPIRE = text("""
    UPDATE actions SET status = 'expired', ended_at = clock_timestamp(), ended_reason = 'expired'
    WHERE action_id IN (SELECT action_id FROM actions WHERE status = 'sent' AND expires_at <= clock_timestamp()
                        ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED)
      AND status = 'sent' RETURNING *
""")


def action_of(row: Any) -> Action:
    verification = row.verification
    return Action(
        action_id=row.action_id,
        kind=ActionKind(row.kind),
        account_id=row.account_id,
        status=ActionStatus(row.status),
        actor=row.actor,
        issued_at=row.issued_at,
        address_hash=row.address_hash,
        reason=row.reason,
        actor_level=row.actor_level,
        actor_expert=row.actor_expert,
        reference_id=row.reference_id,
        on_behalf_of=row.on_behalf_of,
        details=row.details,
        verification=json.loads(verification) if isinstance(verification, str) else verification,
        expires_at=row.expires_at,
        sent_at=row.sent_at,
        ended_at=row.ended_at,
        ended_reason=row.ended_reason,
    )


class SqlActions:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def _one(self, statement: Any, parameters: dict[str, Any]) -> Action | None:
        row = (await self._connection.execute(statement, parameters)).first()
        return action_of(row) if row is not None else None

    async def add(self, action: Action) -> Action:
        row = await self._connection.execute(
            _ADD,
            {
                "action_id": action.action_id,
                "kind": action.kind.value,
                "account_id": action.account_id,
                "actor": action.actor,
                "actor_level": action.actor_level,
                "actor_expert": action.actor_expert,
                "on_behalf_of": action.on_behalf_of,
                "reference_id": action.reference_id,
                "reason": action.reason,
                "details": action.details,
                "verification": json.dumps(action.verification) if action.verification else None,
                "address_hash": action.address_hash,
            },
        )
        await failpoint("recovery.issue.mid-transaction")
        return action_of(row.one())

    async def find(self, action_id: str, *, lock: bool = False) -> Action | None:
        if "\0" in action_id:
            return None
        return await self._one(_FIND_LOCKED if lock else _FIND, {"action_id": action_id})

    async def live_of(self, account_ids: Collection[str], kind: ActionKind | None = None) -> Sequence[Action]:
        parameters = {"account_ids": sorted(account_ids), "kind": kind.value if kind else None}
        return [action_of(row) for row in await self._connection.execute(_LIVE_OF, parameters)]

    async def last_of(self, account_id: str, limit: int) -> Sequence[Action]:
        rows = await self._connection.execute(_LAST_OF, {"account_id": account_id, "limit": limit})
        return [action_of(row) for row in rows]

    async def end(self, action_id: str, status: ActionStatus, reason: str | None = None) -> Action | None:
        return await self._one(_END, {"action_id": action_id, "status": status.value, "reason": reason})

    async def redeem(self, action_id: str, credential_id: str) -> Action | None:
        redeemed = await self._one(_REDEEM, {"action_id": action_id, "credential_id": credential_id})
        await failpoint("recovery.redeem.mid-transaction")
        return redeemed

    async def add_credential(self, action_id: str, credential: Credential, lifetime: timedelta) -> datetime | None:
        row = await self._connection.execute(
            _ADD_CREDENTIAL,
            {
                "credential_id": credential.credential_id,
                "action_id": action_id,
                "address_hash": credential.address_hash,
                "selector": credential.selector,
                "lookup": credential.lookup,
                "key_id": credential.sealed.key_id,
                "salt": credential.sealed.salt,
                "digest": credential.sealed.digest,
                "lifetime": lifetime,
            },
        )
        expires_at: datetime | None = row.scalar_one_or_none()
        if expires_at is not None:
            await self._connection.execute(_EXTEND, {"action_id": action_id, "expires_at": expires_at})
        return expires_at

    async def mark_sent(self, action_id: str) -> None:
        await self._connection.execute(_MARK_SENT, {"action_id": action_id})

    async def expire(self, limit: int) -> Sequence[Action]:
        return [action_of(row) for row in await self._connection.execute(_EXPIRE, {"limit": limit})]
