"""Deliveries and their attempts in PostgreSQL: the state of every message, and what servers said to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from services.notifier.adapters.requests import told
from services.notifier.domain.delivery import Answer, Delivery, State, Told
from services.notifier.ports import NewDelivery
from shared.kit.db.unit import UnitOfWork
from shared.kit.failpoints import failpoint
from shared.schemas.notifier import Via

# A claim is kept by a heartbeat (usecases.deliver_mail); without one its sender is dead. A killed process's jobs come
# again as soon as its successor is up (shared.kit.messaging.leases), and wait for this. The database's clock counts.
_CLAIM = "clock_timestamp() + interval '8 seconds'"

# Both in one statement. The Message-ID, derived from what is told to whom, makes deliveries unique.
_ADD = text("""
    WITH new AS (
        SELECT * FROM unnest(
            CAST(:ids AS text[]), CAST(:admins AS text[]), CAST(:vias AS text[]), CAST(:message_ids AS text[])
        ) AS new (id, admin, via, message_id)
    ), added AS (
        INSERT INTO deliveries (id, admin, via, message_id, created_at)
        SELECT id, admin, via, message_id, :now FROM new
        ON CONFLICT (message_id) DO NOTHING RETURNING id, admin, via
    ), told AS (
        INSERT INTO notifications (reference_id, admin, via, delivery_id, subject, created_at)
        SELECT requests.reference_id, added.admin, added.via, added.id, requests.subject, :now
        FROM added
        JOIN unnest(CAST(:tellers AS text[]), CAST(:references AS text[])) AS pair (id, reference_id) USING (id)
        JOIN requests ON requests.reference_id = pair.reference_id
        ON CONFLICT (reference_id, admin) DO UPDATE SET delivery_id = EXCLUDED.delivery_id
            WHERE notifications.delivery_id IS NULL
    )
    SELECT id FROM added
""")
_LOCK = text("""
    SELECT d.*, d.state = 'sending' AND d.claimed_until > clock_timestamp() AS claimed,
        CAST(requests.data AS text) AS data, requests.traceparent
    FROM deliveries AS d
    LEFT JOIN notifications ON notifications.delivery_id = d.id
    LEFT JOIN requests USING (reference_id)
    WHERE d.id = :id ORDER BY notifications.created_at, reference_id FOR UPDATE OF d
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
_END_ATTEMPT = """
    WITH ended AS (
        UPDATE attempts SET outcome = :outcome, finished_at = clock_timestamp(), smtp_status = :status,
            server = :server, server_answer = :answer
        WHERE delivery_id = :id AND number = :number
    )
"""
_END = """
    UPDATE deliveries SET state = CAST(:state AS text), claimed_until = NULL, reason = :reason,
        finished_at = CASE WHEN CAST(:state AS text) = 'queued' THEN NULL ELSE CAST(:now AS timestamptz) END
    WHERE id = :id AND state IN ('queued', 'sending') RETURNING id
"""
_END_BY_ATTEMPT, _CANCEL = text(_END_ATTEMPT + _END), text(_END)


class PostgresDeliveries:
    """`ports.Deliveries` in one transaction."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._connection = unit.connection

    async def add(self, deliveries: Sequence[NewDelivery], now: datetime) -> list[str]:
        """Adds them all, however many, in one statement."""
        if not deliveries:
            return []
        parameters = {
            "ids": [item.id for item in deliveries],
            "admins": [item.admin for item in deliveries],
            "vias": [item.via.value for item in deliveries],
            "message_ids": [item.message_id for item in deliveries],
            "tellers": [item.id for item in deliveries for _ in item.reference_ids],
            "references": [reference for item in deliveries for reference in item.reference_ids],
            "now": now,
        }
        added = {row.id for row in await self._connection.execute(_ADD, parameters)}
        return [item.id for item in deliveries if item.id in added]

    async def lock(self, delivery_id: str) -> tuple[Delivery, list[Told]] | None:
        """Locks the delivery's row until the end of the transaction."""
        rows = (await self._connection.execute(_LOCK, {"id": delivery_id})).all()
        if not rows:
            return None
        row = rows[0]
        delivery = Delivery(
            id=row.id,
            admin=row.admin,
            via=Via(row.via),
            message_id=row.message_id,
            state=State(row.state),
            attempts=row.attempts,
            created_at=row.created_at,
            claimed=bool(row.claimed),
        )
        return delivery, [told(row) for row in rows if row.data is not None]

    async def begin_attempt(self, delivery_id: str) -> int:
        """The attempt's number, from 1."""
        return int((await self._connection.execute(_BEGIN_ATTEMPT, {"id": delivery_id})).scalar_one())

    async def keep_claim(self, delivery_id: str) -> None:
        """Moves the claim's end."""
        await self._connection.execute(_KEEP_CLAIM, {"id": delivery_id})

    async def end_attempt(self, delivery_id: str, number: int, answer: Answer, state: State, now: datetime) -> bool:
        """Writes the attempt's answer in any case, and the delivery's state unless it is final."""
        await failpoint("notifier.mail.before-mark")
        parameters = {
            "id": delivery_id,
            "number": number,
            "outcome": answer.outcome.value,
            "status": answer.status,
            "server": answer.server,
            "answer": answer.text,
            "state": state.value,
            "reason": None,
            "now": now,
        }
        return (await self._connection.execute(_END_BY_ATTEMPT, parameters)).first() is not None

    async def cancel(self, delivery_id: str, reason: str, now: datetime) -> None:
        """Settles it unsent."""
        parameters = {"id": delivery_id, "state": State.CANCELLED.value, "reason": reason, "now": now}
        await self._connection.execute(_CANCEL, parameters)
