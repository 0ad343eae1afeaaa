"""Facts, states and activity in the words of the console."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.recovery.adapters.reasons import Reason
from services.recovery.domain.account import Account
from services.recovery.domain.actions import Action, ActionStatus
from services.recovery.ports import Activity
from shared.schemas.action import service_actor
from shared.schemas.recovery import ActionKind

Row = tuple[str, Any]

SERVICE = service_actor("recovery")
ACTION_NAMES = {
    ActionKind.ACCESS_EMAIL: "Send Access Email",
    ActionKind.RECOVERY_CODE: "Send Recovery Code Email",
}
THINGS = {ActionKind.ACCESS_EMAIL: "Access email", ActionKind.RECOVERY_CODE: "Recovery code email"}
STATUS_BADGES = {
    ActionStatus.SENT: "ok",
    ActionStatus.USED: "ok",
    ActionStatus.FAILED: "danger",
    ActionStatus.DENIED: "danger",
    ActionStatus.KILLED: "danger",
    ActionStatus.CANCELLED: "caution",
}
STATUS_MEANINGS = {
    ActionStatus.QUEUED: "The mail is being sent. This page follows it.",
    ActionStatus.SENT: "The mail server took the mail. The person can use it until it runs out.",
    ActionStatus.FAILED: "The mail could not be delivered. Nothing that was sent can be used.",
    ActionStatus.USED: "The person used it.",
    ActionStatus.EXPIRED: "Nobody used it in time.",
    ActionStatus.SUPERSEDED: "A newer one replaced it.",
    ActionStatus.CANCELLED: "It was ended before it was used.",
    ActionStatus.KILLED: "Too many wrong codes were tried. It can't be used any more.",
    ActionStatus.DENIED: "When it was to be sent, it was not permitted any more. Nothing was sent.",
}
_FACTS = {
    "account_exists": "Account exists",
    "status": "Status",
    "two_factor_enabled": "Two-factor authentication",
    "unused_backup_codes": "Unused backup codes",
    "last_successful_signin": "Last successful sign-in",
    "signin_locations": "Recent sign-in locations",
    "signin_networks": "Recent sign-in networks",
    "failed_signins": "Recent failed sign-ins",
    "access_email_last_sent": "Access email last sent",
    "recovery_code_last_sent": "Recovery code last sent",
    "two_factor_last_changed": "Two-factor last changed",
    "backup_codes_last_changed": "Backup codes last changed",
    "password_last_changed": "Password last changed",
    "email_last_changed": "Email address last changed",
}
# The account's own card shows these, from recovery's own picture.
_ELSEWHERE = frozenset({"account_exists", "status", "two_factor_enabled", "unused_backup_codes"})
_TYPES = {
    "access-email-requested": "Access email asked for",
    "access-email-sent": "Access email sent",
    "access-link-used": "Access link used",
    "code-requested": "Recovery code asked for",
    "code-sent": "Recovery code sent",
    "code-redeemed": "Recovery code used",
    "code-rejected": "Wrong recovery codes tried",
    "expired": "Code or link ran out",
    "cancelled": "Code or link ended",
    "email-failed": "Mail could not be delivered",
    "action-denied": "Action refused",
    "request-claimed": "Request claimed",
    "request-closed": "Request closed",
    "signin-succeeded": "Signed in",
    "signin-failed": "Sign-in failed",
    "password-changed": "Password changed",
    "email-changed": "Email address changed",
    "two-factor-changed": "Two-factor authentication changed",
    "backup-codes-changed": "Backup codes changed",
    "locked": "Account locked",
    "unlocked": "Account unlocked",
    "account-removed": "Account removed",
}


def account_facts(account: Account) -> list[Row]:
    return [
        ("Account ID", account.account_id),
        ("Email", account.email or "none"),
        ("Also told at", list(account.notification_emails) or "none"),
        ("Two-factor authentication", "enabled" if account.two_factor_enabled else "not enabled"),
        ("Unused backup codes", account.unused_backup_codes),
        (
            "Data protection access",
            f"level {account.data_protection_access}" if account.data_protection_access else "none",
        ),
        ("Expert mode", "yes" if account.expert_mode else "no"),
    ]


def action_facts(action: Action, reasons: Iterable[Reason]) -> list[Row]:
    verification = action.verification or {}
    words = [verification.get("method"), verification.get("note")]
    return [
        ("Asked for", action.issued_at),
        ("By", action.actor),
        ("On behalf of", action.on_behalf_of or "nobody else"),
        ("Reason", _label(action.reason, reasons)),
        ("Details", action.details or "none"),
        ("How the person was verified", ": ".join(word for word in words if word) or "not recorded"),
        ("Reference ID", action.reference_id or "none"),
        ("Taken by the mail server", action.sent_at or "not yet"),
        ("Can be used until", action.expires_at or "not sent yet"),
        ("Ended", action.ended_at or "no"),
        ("Ended by", action.ended_reason or "nothing"),
    ]


def context_facts(context: Mapping[str, Any]) -> list[Row]:
    """The facts of contract section 6: a value, none, or unknown and why."""
    return [(label, _fact(name, context.get(name))) for name, label in _FACTS.items() if name not in _ELSEWHERE]


def context_missing(context: Mapping[str, Any]) -> str:
    """Why nothing at all is known; empty where something is."""
    states = {(fact.get("state"), fact.get("why")) for fact in context.values() if isinstance(fact, Mapping)}
    if len(states) != 1:
        return ""
    ((state, why),) = states
    return str(why or "no answer") if state == "unknown" else ""


def _fact(name: str, fact: Any) -> Any:
    if not isinstance(fact, Mapping) or fact.get("state") == "unknown":
        why = fact.get("why") if isinstance(fact, Mapping) else None
        return f"unknown ({why})" if why else "unknown"
    if fact.get("state") == "none":
        return f"none since {_moment(fact['since'])}" if fact.get("since") else "none"
    return _value(name, fact.get("value"))


def _value(name: str, value: Any) -> Any:
    if name == "last_successful_signin":
        place = value.get("location") or {}
        where = ", ".join(part for part in (place.get("city"), place.get("country")) if part)
        return f"{_moment(value['at'])} from {value['ip']}" + (f" ({where})" if where else "")
    if name in {"signin_locations", "signin_networks"}:
        return [f"{item['label']} ({item['count']}, last {_moment(item['last_at'])})" for item in value[:5]]
    if name == "failed_signins":
        return f"{value['last_24_hours']} in the last 24 hours, {value['last_30_days']} in the last 30 days"
    return _moment(value)


def _moment(text: Any) -> str:
    """An RFC 3339 time in UTC as it is shown."""
    return f"{str(text)[:19].replace('T', ' ')} UTC"


def activity_row(line: Activity, reasons: Iterable[Reason]) -> dict[str, Any]:
    name = line.type.split(".")[2] if line.type.count(".") >= 3 else line.type
    who = line.actor or "unknown"
    if line.actor == line.account_id:
        who = "the owner"
    elif who == SERVICE:
        who = "Readmit"
    if line.on_behalf_of:
        who += f", on behalf of {line.on_behalf_of}"
    why = [_label(line.reason, reasons) if line.reason else None, line.details, f"from {line.ip}" if line.ip else None]
    return {"line": line, "label": _TYPES.get(name, name), "who": who, "why": "; ".join(part for part in why if part)}


def _label(code: str, reasons: Iterable[Reason]) -> str:
    return next((reason.label for reason in reasons if reason.code == code), code)
