"""Records in words: what happened, who did it, why, and how the person was verified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.audit.domain.entries import base64_text
from services.audit.domain.records import Opened
from shared.schemas.action import ANONYMOUS

# Title and kind (how it is marked: ok, caution, danger, neutral), by type without prefix and version.
_TITLES = {
    "assistance.requested": ("Help was asked for", "caution"),
    "assistance.suppressed": ("Help was asked for again, beyond a limit: recorded, no message sent", "neutral"),
    "assistance.throttled": ("Requests were refused", "danger"),
    "assistance.enriched": ("The account was looked up", "neutral"),
    "assistance.admin-notified": ("An administrator was notified", "ok"),
    "assistance.admin-notification-failed": ("An administrator could not be notified", "danger"),
    "assistance.nobody-eligible": ("Nobody could be notified", "danger"),
    "recovery.access-email-requested": ("An access email was asked for", "neutral"),
    "recovery.access-email-sent": ("The access email was sent", "ok"),
    "recovery.access-link-used": ("The access link was used", "ok"),
    "recovery.code-requested": ("A recovery code was asked for", "neutral"),
    "recovery.code-sent": ("The recovery code was sent", "ok"),
    "recovery.code-redeemed": ("The recovery code was redeemed", "ok"),
    "recovery.code-rejected": ("Wrong recovery codes were tried", "danger"),
    "recovery.expired": ("It expired unused", "neutral"),
    "recovery.cancelled": ("It was cancelled before it was used", "neutral"),
    "recovery.email-failed": ("A mail could not be delivered", "danger"),
    "recovery.action-denied": ("An administrator was refused", "danger"),
    "recovery.request-claimed": ("An administrator took the request on", "neutral"),
    "recovery.request-closed": ("The request was closed", "ok"),
    "identity.account": ("The account's state was reported", "neutral"),
    "identity.account-removed": ("The account was removed", "danger"),
    "identity.signin-succeeded": ("Signed in", "ok"),
    "identity.signin-failed": ("A sign-in failed", "danger"),
    "identity.password-changed": ("The password was changed", "neutral"),
    "identity.email-changed": ("The email address was changed", "caution"),
    "identity.two-factor-changed": ("Two-factor authentication was changed", "caution"),
    "identity.backup-codes-changed": ("Backup codes were changed", "neutral"),
    "identity.locked": ("The account was locked", "danger"),
    "identity.unlocked": ("The account was unlocked", "ok"),
    "audit.queried": ("Records were read", "neutral"),
    "audit.exported": ("Records were exported", "caution"),
    "audit.subject-erased": ("A person's data was erased", "caution"),
    "audit.unparsed": ("A message that can't be read was kept", "danger"),
    "audit.conflict": ("Another message under the same event id was kept", "danger"),
}
_WORDS = {
    "lost-2fa": "lost second factor",
    "forgotten-password": "forgotten password",
    "locked-out": "locked out",
    "other": "something else",
    "reset-password": "set a new password",
    "remove-2fa": "remove two-factor authentication",
    "not-genuine": "not genuine",
    "owner-notice": "notice to the owner",
}
_LABELS = (
    ("email", "Submitted email"),
    ("issue", "Problem"),
    ("admin", "Administrator"),
    ("via", "By"),
    ("resolution", "Result"),
    ("details", "Details"),
    ("note", "Note"),
    ("given_reason", "Reason given"),
    ("actions", "Allows to"),
    ("failure", "Failure"),
    ("change", "Change"),
    ("old", "Old address"),
    ("new", "New address"),
    ("ip", "IP address"),
    ("network", "Network"),
    ("user_agent", "Browser"),
    ("purpose", "Mail"),
    ("attempts", "Attempts"),
    ("smtp_status", "Mail server's status"),
    ("server_answer", "Mail server's answer"),
    ("count", "Count"),
    ("expires_at", "Valid until"),
    ("query", "Query"),
    ("error", "Why"),
)
_OUTCOMES = {"success": "ok", "failure": "danger", "denied": "danger", "suppressed": "caution"}


@dataclass(frozen=True, slots=True)
class Step:
    """One record in words."""

    index: int
    leaf_hash: str
    at: datetime
    title: str
    kind: str
    who: str
    type: str
    outcome: str
    outcome_kind: str
    facts: list[tuple[str, str]]
    erased: bool
    reference_id: str
    account: str


def tell(record: Opened) -> Step:
    """The record in words."""
    entry = record.entry
    name = entry["type"].removeprefix("readmit.").rpartition(".")[0]
    title, kind = _TITLES.get(name, (entry["type"], "neutral"))
    data = record.data()
    outcome = entry.get("outcome") or ""
    return Step(
        index=record.index,
        leaf_hash=base64_text(record.leaf_hash),
        at=datetime.fromisoformat(entry["occurred_at"]),
        title=title,
        kind=kind,
        who=_who(entry),
        type=entry["type"],
        outcome=outcome,
        outcome_kind=_OUTCOMES.get(outcome, "neutral"),
        facts=list(_facts(entry, data if isinstance(data, dict) else {})),
        erased=not record.readable,
        reference_id=entry.get("reference_id") or "",
        account=entry.get("subject") or "",
    )


def _who(entry: dict[str, Any]) -> str:
    actor = entry.get("actor")
    if actor is None:
        service = entry["source"]["service"]
        return "reported by the identity platform" if service == "identity" else ""
    if actor == ANONYMOUS:
        return "somebody who was not signed in"
    return f"the service {actor.removeprefix('service:')}" if actor.startswith("service:") else actor


def _facts(entry: dict[str, Any], data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if entry.get("subject"):
        yield "Account", entry["subject"]
    if entry.get("on_behalf_of"):
        yield "On behalf of", entry["on_behalf_of"]
    if entry.get("reason"):
        yield "Reason", entry["reason"]
    yield from _verification(data.get("verification"))
    yield from _lookup(data)
    for name, label in _LABELS:
        value = data.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            yield label, _WORDS.get(str(value), str(value))
        elif isinstance(value, list):
            yield label, ", ".join(_WORDS.get(str(item), str(item)) for item in value)


def _verification(verification: Any) -> Iterator[tuple[str, str]]:
    if isinstance(verification, dict) and verification.get("method"):
        note = verification.get("note")
        yield "Person verified by", verification["method"] + (f": {note}" if note else "")


def _lookup(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What enrichment found."""
    if "match" not in data:
        return
    resolved = data.get("resolved")
    if isinstance(resolved, dict):
        yield "Resolved account", f"{resolved.get('display_name', '')} ({resolved.get('account_id', '')})"
    else:
        yield "Resolved account", "none found" if data["match"] == "none" else "more than one"
    for caution in data.get("cautions", ()):
        if isinstance(caution, dict) and caution.get("text"):
            yield "Caution", caution["text"]


def is_unbroken(records: Sequence[Opened]) -> bool:
    """Whether the records of one reference are all there: numbered from 0, each naming the leaf before it."""
    previous = None
    for number, record in enumerate(sorted(records, key=lambda record: record.index)):
        chain = record.entry.get("chain", {})
        if chain.get("index") != number or chain.get("previous") != previous:
            return False
        previous = base64_text(record.leaf_hash)
    return True
