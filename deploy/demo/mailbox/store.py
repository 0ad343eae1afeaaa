"""Received messages in SQLite: committed before the SMTP server says 250, there after a restart."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    received_at TEXT NOT NULL,
    sender      TEXT NOT NULL,
    recipients  TEXT NOT NULL,
    raw         BLOB NOT NULL
);
"""


@dataclass(frozen=True)
class StoredMessage:
    """A message as it came: the envelope's addresses and the bytes of DATA."""

    id: str
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    raw: bytes


class MessageStore:
    """Opens a connection for each use, so that it may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "messages.db"
        # Mail holds recovery codes: readable by this user only, from the first byte.
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        with self._connect() as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=10)
        db.row_factory = sqlite3.Row
        try:
            with db:
                yield db
        finally:
            db.close()

    def add(self, sender: str, recipients: list[str], raw: bytes) -> str:
        """Keep a message; returns its id once it is on disk."""
        message_id = secrets.token_hex(11)
        row = (message_id, datetime.now(UTC).isoformat(timespec="milliseconds"), sender, json.dumps(recipients), raw)
        with self._connect() as db:
            db.execute("INSERT INTO messages (id, received_at, sender, recipients, raw) VALUES (?, ?, ?, ?, ?)", row)
        return message_id

    def get(self, message_id: str) -> StoredMessage | None:
        with self._connect() as db:
            row = db.execute("SELECT * FROM messages WHERE id = ?", (message_id,)).fetchone()
        return _stored(row) if row else None

    def newest_first(self) -> Iterator[StoredMessage]:
        """Every message; read lazily, so stop when there is enough."""
        with self._connect() as db:
            for row in db.execute("SELECT * FROM messages ORDER BY number DESC"):
                yield _stored(row)

    def page(self, limit: int, start: int) -> list[StoredMessage]:
        with self._connect() as db:
            rows = db.execute("SELECT * FROM messages ORDER BY number DESC LIMIT ? OFFSET ?", (limit, start))
            return [_stored(row) for row in rows]

    def count(self) -> int:
        with self._connect() as db:
            return int(db.execute("SELECT count(*) FROM messages").fetchone()[0])

    def recipients(self) -> list[tuple[str, int]]:
        """Addresses that mail was delivered to, and how many messages each has, most recent first."""
        query = """
            SELECT lower(value) AS address, count(*) AS messages FROM messages, json_each(messages.recipients)
            GROUP BY lower(value) ORDER BY max(number) DESC
        """
        with self._connect() as db:
            return [(row["address"], row["messages"]) for row in db.execute(query)]

    def delete_all(self) -> None:
        with self._connect() as db:
            db.execute("DELETE FROM messages")


def _stored(row: sqlite3.Row) -> StoredMessage:
    return StoredMessage(
        id=row["id"],
        received_at=datetime.fromisoformat(row["received_at"]),
        sender=row["sender"],
        recipients=tuple(json.loads(row["recipients"])),
        raw=row["raw"],
    )
