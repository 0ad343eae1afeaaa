"""Signing in: password, then authenticator or backup code; a lock after five failures in fifteen minutes.

An attempt is counted before it is made, so that many at once get no more tries than one after another
(CVE-2024-1722). Whatever is wrong, the person is told the same, after the same work.
"""

from __future__ import annotations

import re
import sqlite3
import time
from dataclasses import dataclass

from deploy.demo.identity import material, passwords, sessions, totp
from deploy.demo.identity.database import Database
from deploy.demo.identity.events import report, report_state, unused_backup_codes
from deploy.demo.identity.sessions import Session, Stage

MAX_FAILURES = 5
WINDOW_SECONDS = 15 * 60
# RFC 5321's limit of an address, and the form of one that can be somebody's (RFC 5322's dot-atom at a host name, with
# RFC 6531's other letters). What people type and is none is reported to nobody.
_LONGEST_EMAIL = 254
_ATOM = r"[^\s@.,:;()<>\[\]\\\"]+"
_LABEL = r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?"
_EMAIL = re.compile(rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}")


@dataclass(frozen=True)
class Client:
    """Where an attempt came from."""

    ip: str
    user_agent: str | None

    def facts(self) -> dict[str, str | None]:
        return {"ip": self.ip, "user_agent": self.user_agent}


@dataclass(frozen=True)
class _Attempt:
    number: int
    account_id: str


class SignIn:
    """Every method blocks (scrypt, SQLite): call them in a worker thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def with_password(self, email: str, password: str, client: Client) -> tuple[Stage, str] | None:
        """Check the first factor; returns the stage reached and the session's token, or None."""
        email = email.strip()
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM accounts WHERE email = ?", (email,)).fetchone()
        attempt = self._count(row["account_id"]) if row is not None else None
        good = passwords.matches(password, row["password_hash"] if attempt and row else passwords.NOBODY)
        if row is None:
            self._unknown(email, client)
            return None
        if attempt is None:
            self._refused(row["account_id"], client)
            return None
        if not good:
            self._failed(attempt, "bad-password", client)
            return None
        return self._password_was_good(attempt, row["password_hash"], client)

    def with_second_factor(self, session: Session, code: str, client: Client) -> str | None:
        """Check an authenticator's or a backup code; returns the new session's token, or None."""
        attempt = self._count(session.account_id)
        if attempt is None:
            self._refused(session.account_id, client)
            return None
        with self._database.transaction() as db:
            row = db.execute("SELECT * FROM accounts WHERE account_id = ?", (session.account_id,)).fetchone()
            method = self._second_factor(db, row, code, client)
            if method is not None and row["status"] == "active":
                sessions.end(db, session)
                return self._succeed(db, session.account_id, method, client)
        self._failed(attempt, "bad-second-factor", client)
        return None

    def _count(self, account_id: str) -> _Attempt | None:
        """Count an attempt before it is made; None where none may be made."""
        now = time.time()
        with self._database.transaction() as db:
            if _status(db, account_id) != "active" or _recent(db, account_id, now) >= MAX_FAILURES:
                return None
            cursor = db.execute("INSERT INTO attempts (account_id, at) VALUES (?, ?)", (account_id, now))
            return _Attempt(int(cursor.lastrowid or 0), account_id)

    def _password_was_good(self, attempt: _Attempt, checked_hash: str, client: Client) -> tuple[Stage, str] | None:
        with self._database.transaction() as db:
            query = "SELECT * FROM accounts WHERE account_id = ?"
            row = db.execute(query, (attempt.account_id,)).fetchone()
            # Locked, disabled or changed while the password was being checked.
            if row["status"] != "active" or row["password_hash"] != checked_hash:
                return None
            # This attempt only: earlier failures stay, or a known password would buy endless tries at the code.
            db.execute("DELETE FROM attempts WHERE number = ?", (attempt.number,))
            if row["totp_secret"] is not None:
                return Stage.SECOND_FACTOR, sessions.begin(db, attempt.account_id, Stage.SECOND_FACTOR)
            return Stage.SIGNED_IN, self._succeed(db, attempt.account_id, "password", client)

    def _succeed(self, db: sqlite3.Connection, account_id: str, method: str, client: Client) -> str:
        db.execute("DELETE FROM attempts WHERE account_id = ?", (account_id,))
        report(db, "signin-succeeded", {"account_id": account_id, **client.facts(), "method": method})
        return sessions.begin(db, account_id, Stage.SIGNED_IN)

    def _second_factor(self, db: sqlite3.Connection, row: sqlite3.Row, code: str, client: Client) -> str | None:
        """Which method a code is good for; uses it up."""
        account_id = row["account_id"]
        digits = code.replace(" ", "")
        if row["totp_secret"] is not None and digits.isascii() and digits.isdigit():
            step = totp.matching_step(bytes.fromhex(row["totp_secret"]), digits, time.time(), row["totp_last_step"])
            if step is not None:
                db.execute("UPDATE accounts SET totp_last_step = ? WHERE account_id = ?", (step, account_id))
                return "totp"
        hashed = material.backup_code_hash(self._database.secret, account_id, code)
        used = db.execute("DELETE FROM backup_codes WHERE account_id = ? AND hash = ?", (account_id, hashed))
        if used.rowcount != 1:
            return None
        unused = unused_backup_codes(db, account_id)
        facts = {"account_id": account_id, "change": "used", "unused": unused, "ip": client.ip}
        report(db, "backup-codes-changed", facts)
        report_state(db, account_id)
        return "backup-code"

    def _failed(self, attempt: _Attempt, failure: str, client: Client) -> None:
        """Report a failure, and lock where it was one too many."""
        account_id = attempt.account_id
        with self._database.transaction() as db:
            report(db, "signin-failed", {"account_id": account_id, **client.facts(), "failure": failure})
            if _recent(db, account_id, time.time()) < MAX_FAILURES:
                return
            query = "UPDATE accounts SET status = 'locked' WHERE account_id = ? AND status = 'active'"
            if db.execute(query, (account_id,)).rowcount:
                db.execute("DELETE FROM sessions WHERE account_id = ? AND stage <> 'recovery'", (account_id,))
                report(db, "locked", {"account_id": account_id, "ip": client.ip})
                report_state(db, account_id)

    def _refused(self, account_id: str, client: Client) -> None:
        with self._database.transaction() as db:
            status = _status(db, account_id)
            # Active: the limit is reached, and the last attempt's lock is about to be written.
            failure = "disabled" if status == "disabled" else "locked"
            report(db, "signin-failed", {"account_id": account_id, **client.facts(), "failure": failure})

    def _unknown(self, email: str, client: Client) -> None:
        if len(email) > _LONGEST_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
            return
        with self._database.transaction() as db:
            report(db, "signin-failed", {"email": email, **client.facts(), "failure": "unknown-account"})


def _status(db: sqlite3.Connection, account_id: str) -> str:
    row = db.execute("SELECT status FROM accounts WHERE account_id = ?", (account_id,)).fetchone()
    return str(row["status"])


def _recent(db: sqlite3.Connection, account_id: str, now: float) -> int:
    query = "SELECT count(*) FROM attempts WHERE account_id = ? AND at > ?"
    return int(db.execute(query, (account_id, now - WINDOW_SECONDS)).fetchone()[0])
