"""The platform's SQLite database, filled with the organisation's accounts at the first start."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from deploy.demo.identity import material, passwords
from deploy.demo.organisation import ACCOUNTS, Account

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    account_id             TEXT PRIMARY KEY,
    email                  TEXT NOT NULL UNIQUE COLLATE NOCASE,
    display_name           TEXT NOT NULL,
    status                 TEXT NOT NULL CHECK (status IN ('active', 'locked', 'disabled')),
    data_protection_access INTEGER NOT NULL,
    expert_mode            INTEGER NOT NULL,
    locale                 TEXT,
    time_zone              TEXT,
    notification_emails    TEXT NOT NULL,
    role                   TEXT,
    password_hash          TEXT NOT NULL,
    password_is_initial    INTEGER NOT NULL DEFAULT 1,
    totp_secret            TEXT,
    totp_last_step         INTEGER NOT NULL DEFAULT -1
);
CREATE TABLE IF NOT EXISTS backup_codes (
    account_id TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    hash       TEXT NOT NULL,
    PRIMARY KEY (account_id, hash)
);
CREATE TABLE IF NOT EXISTS attempts (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    at         REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS attempts_by_account ON attempts (account_id, at);
CREATE TABLE IF NOT EXISTS sessions (
    hash         TEXT PRIMARY KEY,
    account_id   TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    stage        TEXT NOT NULL,
    actions      TEXT NOT NULL DEFAULT '',
    pending_totp TEXT,
    began_at     REAL NOT NULL,
    expires_at   REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS authorizations (
    hash       TEXT PRIMARY KEY,
    parameters TEXT NOT NULL,
    expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS grants (
    jti        TEXT PRIMARY KEY,
    expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS outbox (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    event   TEXT NOT NULL,
    refused TEXT
);
"""


class Database:
    """A connection for each transaction, so that it may be used from any thread."""

    def __init__(self, demo_dir: Path) -> None:
        demo_dir.mkdir(parents=True, exist_ok=True)
        self.secret = material.folder_secret(demo_dir)
        self._path = demo_dir / "identity.db"
        # Holds authenticator secrets: this user's only, from the first byte.
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        with self._connected() as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)
        self._add_accounts()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys = ON")
        try:
            yield db
        finally:
            db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction from its first statement: what it reads stays true until it commits."""
        with self._connected() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as db:
            yield db

    def _add_accounts(self) -> None:
        with self.reading() as db:
            if db.execute("SELECT 1 FROM accounts LIMIT 1").fetchone():
                return
        present = [account for account in ACCOUNTS if not account.removed]
        # scrypt leaves Python's lock alone, so two cores halve the first start.
        with ThreadPoolExecutor(2) as pool:
            hashes = list(pool.map(lambda account: passwords.hashed(self._password_of(account)), present))
        with self.transaction() as db:
            for account, password_hash in zip(present, hashes, strict=True):
                self._add(db, account, password_hash)

    def _password_of(self, account: Account) -> str:
        return material.initial_password(self.secret, account.account_id)

    def _add(self, db: sqlite3.Connection, account: Account, password_hash: str) -> None:
        totp_secret = material.initial_totp_secret(self.secret, account.account_id).hex()
        # OR IGNORE: another process may have been first, with the same values but for the salt.
        db.execute(
            "INSERT OR IGNORE INTO accounts (account_id, email, display_name, status, data_protection_access,"
            " expert_mode, locale, time_zone, notification_emails, role, password_hash, totp_secret)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                account.account_id,
                account.email,
                account.display_name,
                account.status,
                account.data_protection_access,
                account.expert_mode,
                account.locale,
                account.time_zone,
                "\n".join(account.notification_emails),
                account.role,
                password_hash,
                totp_secret if account.two_factor_enabled else None,
            ),
        )
        codes = material.initial_backup_codes(self.secret, account.account_id, account.unused_backup_codes)
        db.executemany(
            "INSERT OR IGNORE INTO backup_codes (account_id, hash) VALUES (?, ?)",
            [(account.account_id, material.backup_code_hash(self.secret, account.account_id, code)) for code in codes],
        )
