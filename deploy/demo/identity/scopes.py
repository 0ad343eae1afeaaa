"""Which of Readmit's scopes an account may be given when it signs in to a console."""

from __future__ import annotations

AUDITOR = "readmit.audit readmit.audit.export readmit.audit.erase"
RECOVER = "readmit.recover"


def granted(asked: str, *, data_protection_access: int, role: str | None) -> str:
    """The scopes asked for that the account may have, in the order asked."""
    allowed = {"openid", "profile", "email"}
    if data_protection_access >= 1:
        allowed.add(RECOVER)
    if role == "auditor":
        allowed.update(AUDITOR.split())
    return " ".join(dict.fromkeys(scope for scope in asked.split() if scope in allowed))
