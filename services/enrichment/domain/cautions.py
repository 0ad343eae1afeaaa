"""What is unusual about a request, in words and with the evidence; never a bare score.

Each caution's text begins with its name in English; `code` and `evidence` hold what a translation needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.enrichment.domain.accounts import Account
from services.enrichment.domain.confusables import mixed_scripts
from services.enrichment.domain.milestones import CHANGES, Milestone, MilestoneKind
from services.enrichment.domain.origin import Origin, distance_km, location_label
from services.enrichment.domain.snapshot import AccountSnapshot, Earlier, SeenPlace
from shared.schemas.enrichment import Caution, CautionCode

TRAVEL_SPEED_KMH = 900
"""Faster than an airliner's cruise, airports and queues left out."""
TRAVEL_DISTANCE_KM = 100
"""GeoIP is often wrong by less."""
FAILURES_AT_LEAST = 5
"""In 24 hours; fewer, from elsewhere than the request, are what people mistype."""
CHANGES_WITHIN = timedelta(days=7)
REQUESTS_AT_LEAST = 3
"""Earlier ones, within `REQUESTS_WITHIN`."""
REQUESTS_WITHIN = timedelta(hours=24)

_LISTED = 5  # names in one sentence

_CHANGE_WORDS = {
    MilestoneKind.EMAIL_CHANGED: "email address",
    MilestoneKind.PASSWORD_CHANGED: "password",
    MilestoneKind.TWO_FACTOR_CHANGED: "two-factor authentication",
    MilestoneKind.BACKUP_CODES_CHANGED: "backup codes",
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """A request with all that cautions are worked out from."""

    email: str
    requested_at: datetime
    origin: Origin
    earlier: Sequence[Earlier]
    look_alikes: Sequence[Account]
    """Other accounts whose address looks like the submitted one."""
    snapshot: AccountSnapshot | None
    """None where the address resolved to no account."""


def cautions(circumstances: Circumstances) -> tuple[Caution, ...]:
    """Give what is unusual, the most telling first."""
    found: list[Caution | None] = [look_alike_address(circumstances)]
    if (snapshot := circumstances.snapshot) is not None:
        found += [
            impossible_travel(circumstances.origin, circumstances.requested_at, snapshot),
            new_location(circumstances.origin, snapshot),
            new_network(circumstances.origin, snapshot),
            failed_signins(circumstances.origin, snapshot),
            recent_changes(circumstances.requested_at, snapshot),
        ]
    found.append(many_requests(circumstances.requested_at, circumstances.earlier))
    return tuple(caution for caution in found if caution is not None)


def new_location(origin: Origin, snapshot: AccountSnapshot) -> Caution | None:
    """Warn of a country that no successful sign-in came from; says nothing where either is unknown."""
    location = origin.location
    if location is None or location.country_code is None or not snapshot.countries:
        return None
    if location.country_code in snapshot.countries:
        return None
    names = list(snapshot.countries.values())
    before = "; ".join(names[:_LISTED]) + ("; …" if len(names) > _LISTED else "")
    return Caution(
        code=CautionCode.NEW_LOCATION,
        text=f"New location: the request came from {location_label(location)}; successful sign-ins came only from "
        f"{before}.",
        evidence={"location": location_label(location), "country_code": location.country_code, "before": before},
    )


def new_network(origin: Origin, snapshot: AccountSnapshot) -> Caution | None:
    """Warn of a network that no successful sign-in came from."""
    used = snapshot.network_used
    if used is None or used.used or MilestoneKind.SIGNIN not in snapshot.milestones:
        return None
    return Caution(
        code=CautionCode.NEW_NETWORK,
        text=f"New network: no successful sign-in to this account came from {origin.network_label} before.",
        evidence={"network": origin.network_label},
    )


def impossible_travel(origin: Origin, at: datetime, snapshot: AccountSnapshot) -> Caution | None:
    """Warn when nobody travels from the place of a recent sign-in to that of the request in the time between.

    Both places are circles of GeoIP's accuracy radius: what counts is the least distance between the two.
    """
    here = origin.location
    if here is None or here.latitude is None or here.longitude is None:
        return None
    for place in snapshot.locations:
        if place.latitude is None or place.longitude is None:
            continue
        apart = distance_km((here.latitude, here.longitude), (place.latitude, place.longitude))
        least = apart - (here.accuracy_km or 0) - (place.accuracy_km or 0)
        seconds = abs((at - place.last_at).total_seconds())
        if least > TRAVEL_DISTANCE_KM and least * 3600 > TRAVEL_SPEED_KMH * seconds:
            return _impossible_travel(location_label(here), place, round(least), at)
    return None


def _impossible_travel(here: str, place: SeenPlace, least: int, at: datetime) -> Caution:
    between = abs(at - place.last_at)
    order = "after" if at >= place.last_at else "before"
    return Caution(
        code=CautionCode.IMPOSSIBLE_TRAVEL,
        text=f"Impossible travel: the request came from {here}, {_duration(between)} {order} a successful sign-in "
        f"from {place.label} at {_utc(place.last_at)}, at least {least} km away.",
        evidence={
            "location": here,
            "signin_location": place.label,
            "signin_at": _utc(place.last_at),
            "distance_km": least,
            "minutes": round(between.total_seconds() / 60),
        },
    )


def failed_signins(origin: Origin, snapshot: AccountSnapshot) -> Caution | None:
    """Warn of failures in the last 24 hours: any from the requesting network, or many from anywhere."""
    failures = snapshot.failures
    if not failures.from_network and failures.last_24_hours < FAILURES_AT_LEAST:
        return None
    text = f"Failed sign-ins: {failures.last_24_hours} in the last 24 hours"
    if failures.from_network:
        text += f", {failures.from_network} of them from the network of this request ({origin.network_label})"
    return Caution(
        code=CautionCode.FAILED_SIGNINS,
        text=text + ".",
        evidence={
            "last_24_hours": failures.last_24_hours,
            "from_network": failures.from_network,
            "network": origin.network_label,
        },
    )


def recent_changes(at: datetime, snapshot: AccountSnapshot) -> Caution | None:
    """Warn of credentials or an email address that changed within 7 days before the request."""
    changed = [
        milestone
        for kind in CHANGES
        if (milestone := snapshot.milestones.get(kind)) is not None and at - milestone.at <= CHANGES_WITHIN
    ]
    if not changed:
        return None
    return Caution(
        code=CautionCode.RECENT_CHANGES,
        text="Recent changes: " + "; ".join(_change(milestone) for milestone in changed) + ".",
        evidence={milestone.kind.value: _utc(milestone.at) for milestone in changed},
    )


def _change(milestone: Milestone) -> str:
    how = milestone.details.get("change", "changed")
    origin = f" from {milestone.details['ip']}" if "ip" in milestone.details else ""
    return f"{_CHANGE_WORDS[milestone.kind]} {how} at {_utc(milestone.at)}{origin}"


def look_alike_address(circumstances: Circumstances) -> Caution | None:
    """Warn when the submitted address can be taken for another account's, or is written in several scripts at once."""
    reasons: list[str] = []
    evidence: dict[str, str | bool | int] = {}
    for number, account in enumerate(circumstances.look_alikes[:_LISTED], start=1):
        reasons.append(f"{circumstances.email} looks like {account.email}, the address of account {account.account_id}")
        evidence |= {f"account_{number}": account.account_id, f"address_{number}": account.email}
    if scripts := mixed_scripts(circumstances.email):
        reasons.append(f"{circumstances.email} mixes {' and '.join(scripts)} letters")
        evidence["scripts"] = ", ".join(scripts)
    if not reasons:
        return None
    return Caution(
        code=CautionCode.LOOK_ALIKE_ADDRESS, text=f"Look-alike address: {'; '.join(reasons)}.", evidence=evidence
    )


def many_requests(at: datetime, earlier: Sequence[Earlier]) -> Caution | None:
    """Warn of many requests for the same address or account, those that were suppressed counted too."""
    recent = [request for request in earlier if at - request.at <= REQUESTS_WITHIN]
    if len(recent) < REQUESTS_AT_LEAST:
        return None
    suppressed = sum(request.suppressed for request in recent)
    networks = Counter(request.network for request in recent)
    origins = "; ".join(_origins(networks))
    return Caution(
        code=CautionCode.MANY_REQUESTS,
        text=f"Many requests: {len(recent)} earlier requests in the last 24 hours"
        + (f", {suppressed} of them suppressed" if suppressed else "")
        + f", from {origins}.",
        evidence={"count": len(recent), "suppressed": suppressed, "networks": origins[:256]},
    )


def _origins(networks: Counter[str]) -> Iterator[str]:
    for label, count in sorted(networks.items(), key=lambda item: (-item[1], item[0]))[:_LISTED]:
        yield f"{label} ({count})"
    if (others := len(networks) - _LISTED) > 0:
        yield f"{others} other networks"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _duration(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    if minutes < 60:
        return f"{minutes} minute{'' if minutes == 1 else 's'}"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min"
