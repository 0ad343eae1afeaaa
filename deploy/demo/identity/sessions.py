"""Browser sessions: a random token in a cookie, its hash in the database."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """How far a session has come."""

    SECOND_FACTOR = "second-factor"
    SIGNED_IN = "signed-in"
    RECOVERY = "recovery"


# Seconds.
_LIFETIMES = {Stage.SECOND_FACTOR: 600, Stage.SIGNED_IN: 8 * 3600, Stage.RECOVERY: 1800}


@dataclass(frozen=True)
class Session:
    """`actions` is what a grant allows, minus what was done with it."""

    hash: str
    account_id: str
    stage: Stage
    actions: frozenset[str]
    pending_totp: bytes | None
    began_at: float


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def begin(db: sqlite3.Connection, account_id: str, stage: Stage, actions: frozenset[str] = frozenset()) -> str:
    """Start a session; returns the cookie's value."""
    token = secrets.token_urlsafe(32)
    now = time.time()
    db.execute("DELETE FROM sessions WHERE expires_at < ?", (now,))
    db.execute(
        "INSERT INTO sessions (hash, account_id, stage, actions, began_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        (hash_of(token), account_id, stage, " ".join(sorted(actions)), now, now + _LIFETIMES[stage]),
    )
    return token


def find(db: sqlite3.Connection, token: str) -> Session | None:
    """The session of a cookie, where it has not ended."""
    row = db.execute(
        "SELECT * FROM sessions WHERE hash = ? AND expires_at > ?", (hash_of(token), time.time())
    ).fetchone()
    if row is None:
        return None
    return Session(
        hash=row["hash"],
        account_id=row["account_id"],
        stage=Stage(row["stage"]),
        actions=frozenset(row["actions"].split()),
        pending_totp=bytes.fromhex(row["pending_totp"]) if row["pending_totp"] else None,
        began_at=row["began_at"],
    )


def end(db: sqlite3.Connection, session: Session) -> None:
    db.execute("DELETE FROM sessions WHERE hash = ?", (session.hash,))


def end_others(db: sqlite3.Connection, session: Session) -> None:
    """End all sessions of the account but this one: after a new password, whoever else was in is out."""
    db.execute("DELETE FROM sessions WHERE account_id = ? AND hash <> ?", (session.account_id, session.hash))
