"""What is unusual, in words that begin with what it is (contract, section 6)."""

from __future__ import annotations

from services.notifier.domain.wording import Wording
from shared.schemas.enrichment import Caution, CautionCode


def names(wording: Wording) -> dict[CautionCode, str]:
    """What each caution is called, in the reader's language."""
    _ = wording._
    return {
        CautionCode.NEW_LOCATION: _("New location"),
        CautionCode.NEW_NETWORK: _("New network"),
        CautionCode.IMPOSSIBLE_TRAVEL: _("Impossible travel"),
        CautionCode.FAILED_SIGNINS: _("Failed sign-ins"),
        CautionCode.RECENT_CHANGES: _("Recent changes"),
        CautionCode.LOOK_ALIKE_ADDRESS: _("Look-alike address"),
        CautionCode.MANY_REQUESTS: _("Many requests"),
    }


def say(caution: Caution, wording: Wording) -> str:
    """The caution on one line; in English as enrichment worded it, else from its evidence."""
    name = names(wording)[caution.code]
    if wording.translated and (sentence := _from_evidence(caution, wording)):
        return f"{name}: {wording.cut(sentence)}"
    text = wording.cut(caution.text)
    return text if text.startswith(name) else f"{name}: {text}"


def _from_evidence(caution: Caution, wording: Wording) -> str | None:
    """None where the evidence isn't what this version knows to word."""
    if caution.code is CautionCode.RECENT_CHANGES:
        return _changes(caution, wording)
    if caution.code is CautionCode.LOOK_ALIKE_ADDRESS:
        return _look_alikes(caution, wording)
    try:
        return _sentence(caution.code, wording) % caution.evidence
    except (KeyError, TypeError):
        return None


def _sentence(code: CautionCode, wording: Wording) -> str:
    _ = wording._
    return {
        CautionCode.NEW_LOCATION: _(
            "the request came from %(location)s; successful sign-ins came only from %(before)s."
        ),
        CautionCode.NEW_NETWORK: _("no successful sign-in to this account came from %(network)s before."),
        CautionCode.IMPOSSIBLE_TRAVEL: _(
            "the request came from %(location)s, at least %(distance_km)d km from the place of a successful sign-in "
            "(%(signin_location)s, %(signin_at)s)."
        ),
        CautionCode.FAILED_SIGNINS: _(
            "%(last_24_hours)d in the last 24 hours, %(from_network)d of them from the network of this request "
            "(%(network)s)."
        ),
        CautionCode.MANY_REQUESTS: _(
            "%(count)d earlier requests in the last 24 hours, %(suppressed)d of them suppressed, from %(networks)s."
        ),
    }[code]


def _changes(caution: Caution, wording: Wording) -> str | None:
    _ = wording._
    words = {
        "email-changed": _("email address"),
        "password-changed": _("password"),
        "two-factor-changed": _("two-factor authentication"),
        "backup-codes-changed": _("backup codes"),
    }
    if not caution.evidence or not set(caution.evidence) <= set(words):
        return None
    return "; ".join(f"{words[kind]}, {moment}" for kind, moment in caution.evidence.items()) + "."


def _look_alikes(caution: Caution, wording: Wording) -> str | None:
    _ = wording._
    evidence = caution.evidence
    reasons = []
    for number in range(1, len(evidence) + 1):
        if {f"account_{number}", f"address_{number}"} <= set(evidence):
            values = {"address": evidence[f"address_{number}"], "account": evidence[f"account_{number}"]}
            reasons.append(_("the address looks like %(address)s, which belongs to account %(account)s") % values)
    if "scripts" in evidence:
        reasons.append(_("the address mixes letters of several scripts: %(scripts)s") % evidence)
    return "; ".join(reasons) + "." if reasons else None
