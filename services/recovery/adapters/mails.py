"""Mails as rows with states; the jobs that send them name the row and nothing else."""

from __future__ import annotations

from sqlalchemy import text

from services.recovery.ports import MailJob
from shared.kit.db.unit import UnitOfWork

QUEUE = "mail"

_ADD = text("""
    INSERT INTO mails (mail_id, action_id, purpose, recipient)
    VALUES (:mail_id, :action_id, CASE WHEN CAST(:recipient AS text) IS NULL THEN 'action' ELSE 'owner-notice' END,
            :recipient)
""")
_FIND = text("SELECT * FROM mails WHERE mail_id = :mail_id")
_FIND_LOCKED = text("SELECT * FROM mails WHERE mail_id = :mail_id FOR UPDATE")
_COUNT = text("""
    UPDATE mails SET attempts = attempts + 1, attempted_at = clock_timestamp(), message_id = :message_id
    WHERE mail_id = :mail_id RETURNING attempts
""")
_FINISH = text("""
    UPDATE mails SET status = :status, smtp_status = :smtp_status, server_answer = :answer,
                     sent_at = CASE WHEN :status = 'sent' THEN clock_timestamp() END
    WHERE mail_id = :mail_id
""")
_NOTE = text("UPDATE mails SET smtp_status = :smtp_status, server_answer = :answer WHERE mail_id = :mail_id")


class SqlMails:
    def __init__(self, unit: UnitOfWork) -> None:
        self._unit = unit
        self._connection = unit.connection

    async def add(self, mail_id: str, action_id: str, recipient: str | None) -> None:
        parameters = {"mail_id": mail_id, "action_id": action_id, "recipient": recipient}
        await self._connection.execute(_ADD, parameters)
        self._unit.enqueue(QUEUE, {"mail_id": mail_id})

    async def find(self, mail_id: str, *, lock: bool = False) -> MailJob | None:
        row = (await self._connection.execute(_FIND_LOCKED if lock else _FIND, {"mail_id": mail_id})).first()
        if row is None:
            return None
        return MailJob(
            row.mail_id, row.action_id, row.recipient, row.status, row.attempts, row.created_at, row.message_id
        )

    async def count_attempt(self, mail_id: str, message_id: str) -> int:
        row = await self._connection.execute(_COUNT, {"mail_id": mail_id, "message_id": message_id})
        return int(row.scalar_one())

    async def finish(
        self, mail_id: str, status: str, smtp_status: int | None = None, answer: str | None = None
    ) -> None:
        parameters = {"mail_id": mail_id, "status": status, "smtp_status": smtp_status, "answer": answer}
        await self._connection.execute(_FINISH, parameters)

    async def note_failure(self, mail_id: str, smtp_status: int | None, answer: str | None) -> None:
        parameters = {"mail_id": mail_id, "smtp_status": smtp_status, "answer": answer}
        await self._connection.execute(_NOTE, parameters)
