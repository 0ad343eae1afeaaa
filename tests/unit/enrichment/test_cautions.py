"""Each caution at its boundary."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import pi

import pytest

from services.enrichment.domain import cautions
from services.enrichment.domain.cautions import Circumstances
from services.enrichment.domain.milestones import CHANGES, MilestoneKind
from services.enrichment.domain.origin import distance_km
from services.enrichment.domain.snapshot import Earlier, FailureCounts
from shared.schemas.enrichment import CautionCode, Location, UsedBefore
from tests.unit.enrichment.builders import NOW, asked, before
from tests.unit.enrichment.snapshots import (
    BERLIN_PLACE,
    a_snapshot,
    account,
    an_origin,
    milestone,
    never_signed_in,
    place,
)

ONE_DEGREE_KM = 6371.0088 * pi / 180


def north_of_berlin(km: float, accuracy_km: int | None = None) -> Location:
    degrees = km / ONE_DEGREE_KM
    return BERLIN_PLACE.model_copy(
        update={"city": "Elsewhere", "latitude": 52.52 + degrees, "accuracy_km": accuracy_km}
    )


def test_nothing_is_unusual_about_a_request_from_where_the_person_signs_in() -> None:
    assert cautions.cautions(Circumstances("person-1@example.org", NOW, an_origin(), [], [], a_snapshot())) == ()


def test_new_location_is_a_country_without_a_sign_in() -> None:
    paris = an_origin(location=Location(city="Paris", country="France", country_code="FR"))
    caution = cautions.new_location(paris, a_snapshot())
    assert caution is not None
    assert caution.text == (
        "New location: the request came from Paris, France; successful sign-ins came only from Germany."
    )
    assert cautions.new_location(paris, a_snapshot(countries={"DE": "Germany", "FR": "France"})) is None


@pytest.mark.parametrize(
    ("location", "countries"),
    [(None, {"DE": "Germany"}), (Location(city="Paris"), {"DE": "Germany"}), (BERLIN_PLACE, {})],
)
def test_new_location_says_nothing_where_either_is_unknown(
    location: Location | None, countries: dict[str, str]
) -> None:
    assert cautions.new_location(an_origin(location=location), a_snapshot(countries=countries)) is None


def test_new_network() -> None:
    caution = cautions.new_network(an_origin(), a_snapshot(network_used=UsedBefore(used=False)))
    assert caution is not None
    assert caution.text.startswith("New network: ")
    assert "AS64611 Spree Breitband" in caution.text
    assert cautions.new_network(an_origin(), a_snapshot()) is None
    assert cautions.new_network(an_origin(), never_signed_in()) is None


# Nine hours at 900 km/h are 8,100 km.
@pytest.mark.parametrize(
    ("km", "span", "warns"),
    [
        (101, timedelta(0), True),
        (99, timedelta(0), False),
        (899, timedelta(hours=1), False),
        (901, timedelta(hours=1), True),
        (901, timedelta(hours=-1), True),  # the sign-in after the request
        (901, timedelta(hours=1, seconds=5), False),
        (101, timedelta(minutes=6), True),
        (101, timedelta(minutes=7), False),
    ],
)
def test_impossible_travel_is_faster_than_900_kmh_and_farther_than_100_km(
    km: float, span: timedelta, warns: bool
) -> None:
    exact = BERLIN_PLACE.model_copy(update={"accuracy_km": None})
    snapshot = a_snapshot(locations=(place(NOW - span, exact),))
    caution = cautions.impossible_travel(an_origin(location=north_of_berlin(km)), NOW, snapshot)
    assert (caution is not None) is warns


def test_impossible_travel_allows_for_both_accuracy_radii() -> None:
    snapshot = a_snapshot(locations=(place(before(hours=1)),))  # accurate to 20 km
    allowed = an_origin(location=north_of_berlin(949, accuracy_km=30))
    assert cautions.impossible_travel(allowed, NOW, snapshot) is None
    caution = cautions.impossible_travel(an_origin(location=north_of_berlin(951, accuracy_km=30)), NOW, snapshot)
    assert caution is not None
    assert caution.text == (
        "Impossible travel: the request came from Elsewhere, Germany, 1 h 0 min after a successful sign-in "
        "from Berlin, Germany at 2026-11-20 11:30:00 UTC, at least 901 km away."
    )


def test_impossible_travel_looks_at_all_recent_places_not_only_the_last() -> None:
    here = place(before(minutes=5), north_of_berlin(5000))
    snapshot = a_snapshot(locations=(here, place(before(hours=1))))
    assert cautions.impossible_travel(an_origin(location=north_of_berlin(5000)), NOW, snapshot) is not None


def test_impossible_travel_needs_both_positions() -> None:
    nowhere = Location(city="Nowhere", country_code="DE")
    assert cautions.impossible_travel(an_origin(location=nowhere), NOW, a_snapshot()) is None
    assert cautions.impossible_travel(an_origin(location=None), NOW, a_snapshot()) is None
    snapshot = a_snapshot(locations=(place(NOW, nowhere),))
    assert cautions.impossible_travel(an_origin(location=north_of_berlin(5000)), NOW, snapshot) is None


@pytest.mark.parametrize(
    ("in_24_hours", "from_network", "warns"), [(0, 0, False), (4, 0, False), (5, 0, True), (1, 1, True)]
)
def test_failed_signins_from_the_network_or_five_from_anywhere(
    in_24_hours: int, from_network: int, warns: bool
) -> None:
    snapshot = a_snapshot(failures=FailureCounts(last_24_hours=in_24_hours, from_network=from_network))
    caution = cautions.failed_signins(an_origin(), snapshot)
    assert (caution is not None) is warns
    if caution is not None:
        assert caution.text.startswith(f"Failed sign-ins: {in_24_hours} in the last 24 hours")


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize(("age", "warns"), [(timedelta(days=7), True), (timedelta(days=7, microseconds=1), False)])
def test_recent_changes_are_of_seven_days(kind: MilestoneKind, age: timedelta, warns: bool) -> None:
    snapshot = a_snapshot(milestones={kind: milestone(kind, NOW - age, ip="5.146.0.9")})
    caution = cautions.recent_changes(NOW, snapshot)
    assert (caution is not None) is warns


def test_recent_changes_say_what_when_and_from_where() -> None:
    changes = {
        MilestoneKind.PASSWORD_CHANGED: milestone(MilestoneKind.PASSWORD_CHANGED, before(days=1), ip="5.146.0.9"),
        MilestoneKind.TWO_FACTOR_CHANGED: milestone(MilestoneKind.TWO_FACTOR_CHANGED, before(days=2), change="removed"),
    }
    caution = cautions.recent_changes(NOW, a_snapshot(milestones=changes))
    assert caution is not None
    assert caution.text == (
        "Recent changes: password changed at 2026-11-19 12:30:00 UTC from 5.146.0.9; "
        "two-factor authentication removed at 2026-11-18 12:30:00 UTC."
    )


def test_look_alike_address_names_the_account_it_looks_like() -> None:
    other = account("other-1", email="alice@example.org")
    caution = cautions.look_alike_address(Circumstances("aIice@example.org", NOW, an_origin(), [], [other], None))
    assert caution is not None
    assert caution.text == (
        "Look-alike address: aIice@example.org looks like alice@example.org, the address of account other-1."
    )
    assert caution.evidence == {"account_1": "other-1", "address_1": "alice@example.org"}


def test_look_alike_address_tells_of_mixed_scripts_without_another_account() -> None:
    mixed = Circumstances("аlice@example.org", NOW, an_origin(), [], [], None)
    (caution,) = cautions.cautions(mixed)
    assert caution.code is CautionCode.LOOK_ALIKE_ADDRESS
    assert caution.text == "Look-alike address: аlice@example.org mixes Cyrillic and Latin letters."


def an_earlier(at: datetime, *, suppressed: bool = False, network: str = "AS64500 Example Networks") -> Earlier:
    return Earlier(asked("a@example.org").data.reference_id, at, suppressed, network)


def test_many_requests_are_three_earlier_ones_within_24_hours() -> None:
    at_the_edge = [an_earlier(before(hours=hours)) for hours in (1, 2, 24)]
    assert cautions.many_requests(NOW, at_the_edge) is not None
    beyond = [*at_the_edge[:2], an_earlier(before(hours=24, microseconds=1))]
    assert cautions.many_requests(NOW, beyond) is None


def test_many_requests_count_suppressed_ones_and_say_from_where() -> None:
    earlier = [
        an_earlier(before(minutes=1)),
        an_earlier(before(minutes=2), suppressed=True),
        an_earlier(before(minutes=3), suppressed=True, network="203.0.113.0/24"),
    ]
    caution = cautions.many_requests(NOW, earlier)
    assert caution is not None
    assert caution.text == (
        "Many requests: 3 earlier requests in the last 24 hours, 2 of them suppressed, "
        "from AS64500 Example Networks (2); 203.0.113.0/24 (1)."
    )
    assert caution.evidence["suppressed"] == 2


def test_without_an_account_only_address_and_requests_are_looked_at() -> None:
    earlier = [an_earlier(before(minutes=minute)) for minute in range(3)]
    found = cautions.cautions(Circumstances("аlice@example.org", NOW, an_origin(), earlier, [], None))
    assert [caution.code for caution in found] == [CautionCode.LOOK_ALIKE_ADDRESS, CautionCode.MANY_REQUESTS]


def test_distance() -> None:
    assert distance_km((52.52, 13.405), (48.1372, 11.5755)) == pytest.approx(504, abs=1)
    assert distance_km((0, 179.5), (0, -179.5)) == pytest.approx(ONE_DEGREE_KM)
    assert distance_km((90, 0), (-90, 0)) == pytest.approx(6371.0088 * pi)
