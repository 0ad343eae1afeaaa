"""Coming back: what a grant lets a person do, and enrolling a second factor again."""

from __future__ import annotations

import secrets
import sqlite3
import time

from deploy.demo.identity import material, passwords, sessions, totp
from deploy.demo.identity.database import Database
from deploy.demo.identity.events import report, report_state
from deploy.demo.identity.grants import Grant
from deploy.demo.identity.sessions import Session, Stage

RESET_PASSWORD = "reset-password"  # noqa: S105 (an action of a grant)
REMOVE_TWO_FACTOR = "remove-2fa"


class Recovery:
    """Every method blocks: call them in a worker thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def honour(self, grant: Grant, ip: str) -> str | None:
        """Use a grant up; returns the token of the session that it opens, or None if it was used before.

        Of any number at once exactly one gets the session: the `jti` is the primary key. The second factor goes
        here, not on a later page, because the grant can't be shown twice.
        """
        with self._database.transaction() as db:
            known = db.execute("SELECT status FROM accounts WHERE account_id = ?", (grant.account_id,)).fetchone()
            if known is None or known["status"] == "disabled":
                return None
            db.execute("DELETE FROM grants WHERE expires_at < ?", (time.time(),))
            used = db.execute(
                "INSERT OR IGNORE INTO grants (jti, expires_at) VALUES (?, ?)",
                # Kept past its end by more than any leeway.
                (grant.jti, grant.expires_at + 3600),
            )
            if used.rowcount == 0:
                return None
            if REMOVE_TWO_FACTOR in grant.actions:
                self._remove_two_factor(db, grant.account_id, ip)
            return sessions.begin(db, grant.account_id, Stage.RECOVERY, grant.actions)

    def _remove_two_factor(self, db: sqlite3.Connection, account_id: str, ip: str) -> None:
        db.execute("UPDATE accounts SET totp_secret = NULL, totp_last_step = -1 WHERE account_id = ?", (account_id,))
        db.execute("DELETE FROM backup_codes WHERE account_id = ?", (account_id,))
        # Whoever was signed in with the old factor has to come again.
        db.execute("DELETE FROM sessions WHERE account_id = ?", (account_id,))
        report(db, "two-factor-changed", {"account_id": account_id, "change": "removed", "ip": ip})
        report_state(db, account_id)

    def set_password(self, session: Session, password: str, ip: str) -> None:
        """Set a new password, once for a grant; lifts a lock. The caller has checked the password."""
        password_hash = passwords.hashed(password)
        account_id = session.account_id
        with self._database.transaction() as db:
            left = session.actions - {RESET_PASSWORD}
            query = "UPDATE sessions SET actions = ? WHERE hash = ? AND actions = ?"
            before, after = " ".join(sorted(session.actions)), " ".join(sorted(left))
            if db.execute(query, (after, session.hash, before)).rowcount != 1:
                return
            db.execute(
                "UPDATE accounts SET password_hash = ?, password_is_initial = 0 WHERE account_id = ?",
                (password_hash, account_id),
            )
            db.execute("DELETE FROM attempts WHERE account_id = ?", (account_id,))
            sessions.end_others(db, session)
            report(db, "password-changed", {"account_id": account_id, "ip": ip})
            query = "UPDATE accounts SET status = 'active' WHERE account_id = ? AND status = 'locked'"
            if db.execute(query, (account_id,)).rowcount:
                report(db, "unlocked", {"account_id": account_id, "ip": ip})
            report_state(db, account_id)

    def new_totp_secret(self, session: Session) -> bytes:
        """The secret to enrol, the same until it is confirmed or the session ends."""
        if session.pending_totp is not None:
            return session.pending_totp
        secret = secrets.token_bytes(20)
        with self._database.transaction() as db:
            db.execute(
                "UPDATE sessions SET pending_totp = ? WHERE hash = ? AND pending_totp IS NULL",
                (secret.hex(), session.hash),
            )
            row = db.execute("SELECT pending_totp FROM sessions WHERE hash = ?", (session.hash,)).fetchone()
        return bytes.fromhex(row["pending_totp"]) if row and row["pending_totp"] else secret

    def confirm_totp(self, session: Session, code: str, ip: str) -> list[str] | None:
        """Turn the second factor on if the code shows that the app has the secret; returns new backup codes."""
        digits = code.replace(" ", "")
        if session.pending_totp is None or not (digits.isascii() and digits.isdigit()):
            return None
        step = totp.matching_step(session.pending_totp, digits, time.time())
        if step is None:
            return None
        account_id = session.account_id
        codes = material.new_backup_codes()
        with self._database.transaction() as db:
            query = (
                "UPDATE accounts SET totp_secret = ?, totp_last_step = ? WHERE totp_secret IS NULL AND account_id = ?"
            )
            if db.execute(query, (session.pending_totp.hex(), step, account_id)).rowcount != 1:
                return None
            db.execute("UPDATE sessions SET pending_totp = NULL WHERE hash = ?", (session.hash,))
            db.executemany(
                "INSERT INTO backup_codes (account_id, hash) VALUES (?, ?)",
                [(account_id, material.backup_code_hash(self._database.secret, account_id, item)) for item in codes],
            )
            report(db, "two-factor-changed", {"account_id": account_id, "change": "enrolled", "ip": ip})
            generated = {"account_id": account_id, "change": "generated", "unused": len(codes), "ip": ip}
            report(db, "backup-codes-changed", generated)
            report_state(db, account_id)
        return codes
