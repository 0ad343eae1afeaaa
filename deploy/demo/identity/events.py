"""What the platform reports: CloudEvents of the published interface, kept in an outbox until intake has them."""

from __future__ import annotations

import json
import sqlite3
import uuid
from datetime import UTC, datetime
from typing import Any

from deploy.demo.organisation import SOURCE


def report(db: sqlite3.Connection, kind: str, data: dict[str, Any]) -> None:
    """Put `readmit.identity.<kind>.v1` into the outbox, in the transaction of what it tells of."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": SOURCE,
        "type": f"readmit.identity.{kind}.v1",
        "time": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {name: value for name, value in data.items() if value is not None},
    }
    if "account_id" in data:
        event["subject"] = data["account_id"]
    db.execute("INSERT INTO outbox (event) VALUES (?)", (json.dumps(event, ensure_ascii=False),))


def report_state(db: sqlite3.Connection, account_id: str) -> None:
    """Report the account's full state as it now is."""
    row = db.execute("SELECT * FROM accounts WHERE account_id = ?", (account_id,)).fetchone()
    state: dict[str, Any] = {
        "account_id": account_id,
        "email": row["email"],
        "display_name": row["display_name"],
        "status": row["status"],
        "two_factor_enabled": row["totp_secret"] is not None,
        "unused_backup_codes": unused_backup_codes(db, account_id),
        "data_protection_access": row["data_protection_access"],
        "expert_mode": bool(row["expert_mode"]),
        "locale": row["locale"],
        "time_zone": row["time_zone"],
    }
    if row["notification_emails"]:
        state["notification_emails"] = row["notification_emails"].split("\n")
    report(db, "account", state)


def unused_backup_codes(db: sqlite3.Connection, account_id: str) -> int:
    row = db.execute("SELECT count(*) FROM backup_codes WHERE account_id = ?", (account_id,)).fetchone()
    return int(row[0])
