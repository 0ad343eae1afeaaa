"""What `ready.json` shows of the demo: tokens for each role, and the people of the tour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy.demo.identity import material, scopes
from deploy.demo.identity.database import Database
from deploy.demo.identity.tokens import Signer
from deploy.demo.organisation import BY_ROLE, Account

# Erin's authenticator is lost: nobody has its secret, this file included.
_WITHOUT_AUTHENTICATOR = "locked_out"


def credentials(demo_dir: Path, issuer: str) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Return `tokens` and `people`.

    Tokens last eight hours. Passwords are the ones that the accounts started with (random for each data folder);
    `password_changed` marks a person who has chosen another one since.
    """
    database = Database(demo_dir)
    signer = Signer(demo_dir, issuer)
    tokens = {
        "platform": signer.access_token("identity-platform", "readmit.events readmit.requests"),
        "admin": signer.access_token(BY_ROLE["admin"].account_id, scopes.RECOVER),
        "expert": signer.access_token(BY_ROLE["expert"].account_id, scopes.RECOVER),
        "no_permission": signer.access_token(BY_ROLE["no_permission"].account_id, scopes.RECOVER),
        "auditor": signer.access_token(BY_ROLE["auditor"].account_id, scopes.AUDITOR),
        "ops": signer.access_token("operations", "readmit.ops"),
    }
    return tokens, {role: _person(database, account) for role, account in BY_ROLE.items()}


def _person(database: Database, account: Account) -> dict[str, Any]:
    with database.reading() as db:
        row = db.execute("SELECT * FROM accounts WHERE account_id = ?", (account.account_id,)).fetchone()
    person: dict[str, Any] = {
        "account_id": account.account_id,
        "email": row["email"],
        "password": material.initial_password(database.secret, account.account_id),
    }
    if not row["password_is_initial"]:
        person["password_changed"] = True
    if row["totp_secret"] and account.role != _WITHOUT_AUTHENTICATOR:
        from deploy.demo.identity import totp

        person["totp_secret"] = totp.as_text(bytes.fromhex(row["totp_secret"]))
    return person
