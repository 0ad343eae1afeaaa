"""Deliveries and their attempts in PostgreSQL: the state of every message, and what servers said to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from services.notifier.adapters.requests import told
from services.notifier.domain.delivery import Answer, Delivery, State, Told
from services.notifier.ports import NewDelivery
from shared.kit.db.unit import UnitOfWork
from shared.schemas.notifier import Via

# A claim is kept by a heartbeat (usecases.deliver_mail); without one its sender is dead. Shorter than the queue's lease
# (handlers.LEASE_SECONDS), so that the job finds the claim expired when it comes again. The database's clock counts.
_CLAIM = "clock_timestamp() + interval '20 seconds'"

_ADD = text("""
    INSERT INTO deliveries (id, admin, via, message_id, created_at)
    SELECT id, admin, via, message_id, :now
    FROM unnest(CAST(:ids AS text[]), CAST(:admins AS text[]), CAST(:vias AS text[]), CAST(:message_ids AS text[]))
        AS new (id, admin, via, message_id)
    ON CONFLICT (message_id) DO NOTHING RETURNING id
""")
_TELL = text("""
    INSERT INTO notifications (reference_id, admin, via, delivery_id, subject, created_at)
    SELECT new.reference_id, new.admin, new.via, new.delivery_id, requests.subject, :now
    FROM unnest(CAST(:references AS text[]), CAST(:admins AS text[]), CAST(:vias AS text[]), CAST(:ids AS text[]))
        AS new (reference_id, admin, via, delivery_id)
    JOIN requests USING (reference_id)
    ON CONFLICT (reference_id, admin) DO UPDATE SET delivery_id = EXCLUDED.delivery_id
        WHERE notifications.delivery_id IS NULL
""")
_LOCK = text("""
    SELECT *, state = 'sending' AND claimed_until > clock_timestamp() AS claimed
    FROM deliveries WHERE id = :id FOR UPDATE
""")
_TOLD = text("""
    SELECT CAST(requests.data AS text) AS data, requests.traceparent
    FROM notifications JOIN requests USING (reference_id)
    WHERE delivery_id = :id ORDER BY notifications.created_at, reference_id
""")
_BEGIN_ATTEMPT = text(f"""
    WITH left_open AS (
        UPDATE attempts SET outcome = 'unknown' WHERE delivery_id = :id AND outcome IS NULL
    ), counted AS (
        UPDATE deliveries SET state = 'sending', attempts = attempts + 1, claimed_until = {_CLAIM}
        WHERE id = :id RETURNING attempts
    )
    INSERT INTO attempts (delivery_id, number) SELECT :id, attempts FROM counted RETURNING number
""")  # noqa: S608 - a constant of this module
_KEEP_CLAIM = text(f"UPDATE deliveries SET claimed_until = {_CLAIM} WHERE id = :id AND state = 'sending'")  # noqa: S608
_END_ATTEMPT = text("""
    UPDATE attempts SET outcome = :outcome, finished_at = clock_timestamp(), smtp_status = :status,
        server = :server, server_answer = :answer
    WHERE delivery_id = :id AND number = :number
""")
_END = text("""
    UPDATE deliveries SET state = CAST(:state AS text), claimed_until = NULL, reason = :reason,
        finished_at = CASE WHEN CAST(:state AS text) = 'queued' THEN NULL ELSE CAST(:now AS timestamptz) END
    WHERE id = :id AND state IN ('queued', 'sending') RETURNING id
""")


class PostgresDeliveries:
    """`ports.Deliveries` in one transaction."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._connection = unit.connection

    async def add(self, deliveries: Sequence[NewDelivery], now: datetime) -> list[str]:
        """Adds them all in two statements. The Message-ID, derived from what is told to whom, makes them unique."""
        if not deliveries:
            return []
        columns = {
            "ids": [item.id for item in deliveries],
            "admins": [item.admin for item in deliveries],
            "vias": [item.via.value for item in deliveries],
            "message_ids": [item.message_id for item in deliveries],
        }
        added = {row.id for row in await self._connection.execute(_ADD, {**columns, "now": now})}
        pairs = [(item, ref) for item in deliveries if item.id in added for ref in item.reference_ids]
        told_of = {
            "references": [ref for _, ref in pairs],
            "admins": [item.admin for item, _ in pairs],
            "vias": [item.via.value for item, _ in pairs],
            "ids": [item.id for item, _ in pairs],
        }
        await self._connection.execute(_TELL, {**told_of, "now": now})
        return [item.id for item in deliveries if item.id in added]

    async def lock(self, delivery_id: str) -> Delivery | None:
        """Locks the row until the end of the transaction."""
        row = (await self._connection.execute(_LOCK, {"id": delivery_id})).one_or_none()
        if row is None:
            return None
        return Delivery(
            id=row.id,
            admin=row.admin,
            via=Via(row.via),
            message_id=row.message_id,
            state=State(row.state),
            attempts=row.attempts,
            created_at=row.created_at,
            claimed=bool(row.claimed),
        )

    async def told(self, delivery_id: str) -> list[Told]:
        """What it tells, oldest first."""
        return [told(row) for row in await self._connection.execute(_TOLD, {"id": delivery_id})]

    async def begin_attempt(self, delivery_id: str) -> int:
        """The attempt's number, from 1."""
        return int((await self._connection.execute(_BEGIN_ATTEMPT, {"id": delivery_id})).scalar_one())

    async def keep_claim(self, delivery_id: str) -> None:
        """Moves the claim's end."""
        await self._connection.execute(_KEEP_CLAIM, {"id": delivery_id})

    async def end_attempt(self, delivery_id: str, number: int, answer: Answer, state: State, now: datetime) -> bool:
        """Writes the attempt's answer in any case, and the delivery's state unless it is final."""
        outcome = {"outcome": answer.outcome.value, "status": answer.status, "server": answer.server}
        await self._connection.execute(
            _END_ATTEMPT, {"id": delivery_id, "number": number, "answer": answer.text, **outcome}
        )
        return await self._end(delivery_id, state, None, now)

    async def cancel(self, delivery_id: str, reason: str, now: datetime) -> None:
        """Settles it unsent."""
        await self._end(delivery_id, State.CANCELLED, reason, now)

    async def _end(self, delivery_id: str, state: State, reason: str | None, now: datetime) -> bool:
        parameters = {"id": delivery_id, "state": state.value, "reason": reason, "now": now}
        return (await self._connection.execute(_END, parameters)).first() is not None
