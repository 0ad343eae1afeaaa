"""Snapshots and origins with sane defaults."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from services.enrichment.domain.accounts import Account, account_of, patches
from services.enrichment.domain.address_kind import network_prefix
from services.enrichment.domain.milestones import Milestone, MilestoneKind
from services.enrichment.domain.origin import Origin
from services.enrichment.domain.snapshot import AccountSnapshot, FailureCounts, SeenPlace
from services.enrichment.domain.versions import version_of
from shared.schemas.enrichment import AddressKind, Location, Network, UsedBefore
from tests.unit.enrichment.builders import BERLIN, NOW, an_account, before

BERLIN_PLACE = Location(
    city="Berlin", country="Germany", country_code="DE", latitude=52.52, longitude=13.405, accuracy_km=20
)
SPREE = Network(asn=64611, name="Spree Breitband", prefix="5.146.0.0/18")


def an_origin(ip: str = BERLIN, location: Location | None = BERLIN_PLACE, network: Network | None = SPREE) -> Origin:
    return Origin(ip, AddressKind.PUBLIC, network_prefix(ip), location, network, "not known", "not known")


def account(account_id: str = "person-1", **changes: Any) -> Account:
    found = account_of(patches([an_account(account_id, before(days=60), **changes)])[0])
    assert found is not None
    return found


def milestone(kind: MilestoneKind, at: datetime, /, **details: Any) -> Milestone:
    return Milestone("person-1", kind, version_of(at, "1"), at, details)


def place(at: datetime, location: Location = BERLIN_PLACE, count: int = 1) -> SeenPlace:
    return SeenPlace(
        f"{location.country_code}/{location.city}", f"{location.city}, {location.country}", count, at,
        location.latitude, location.longitude, location.accuracy_km,
    )  # fmt: skip


def a_snapshot(**changes: Any) -> AccountSnapshot:
    """An account that signed in from Berlin yesterday."""
    yesterday = before(days=1)
    signin = {"at": yesterday.isoformat(), "ip": BERLIN, "method": "totp"}
    base = AccountSnapshot(
        account=account(),
        as_of=NOW,
        first_signin_at=before(days=200),
        watching_since=before(days=100),
        milestones={MilestoneKind.SIGNIN: milestone(MilestoneKind.SIGNIN, yesterday, **signin)},
        locations=(place(yesterday),),
        networks=(SeenPlace("AS64611", "AS64611 Spree Breitband", 1, yesterday),),
        countries={"DE": "Germany"},
        failures=FailureCounts(),
        ip_used=UsedBefore(used=True, count=1, last_at=yesterday),
        network_used=UsedBefore(used=True, count=1, last_at=yesterday),
    )
    return replace(base, **changes)


def never_signed_in(**changes: Any) -> AccountSnapshot:
    """An account of which no event but its report was received."""
    nothing: dict[str, Any] = {
        "first_signin_at": None, "milestones": {}, "locations": (), "networks": (), "countries": {},
        "ip_used": UsedBefore(used=False), "network_used": UsedBefore(used=False),
    }  # fmt: skip
    return a_snapshot(**(nothing | changes))
