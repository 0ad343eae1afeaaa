"""Facts and their states: known, none since, unknown and why."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.enrichment.domain.facts import account_context, earlier_requests, request_context
from services.enrichment.domain.milestones import MilestoneKind
from services.enrichment.domain.origin import Origin
from services.enrichment.domain.snapshot import Earlier, FailureCounts, SeenPlace
from shared.schemas.enrichment import AddressKind, FactState
from tests.unit.enrichment.builders import NOW, asked, before
from tests.unit.enrichment.snapshots import a_snapshot, an_origin, milestone, never_signed_in

FROM_THE_PLATFORM = (
    "last_successful_signin", "signin_locations", "signin_networks", "failed_signins", "two_factor_last_changed",
    "backup_codes_last_changed", "password_last_changed", "email_last_changed",
)  # fmt: skip


@pytest.mark.parametrize("name", FROM_THE_PLATFORM)
def test_before_any_sign_in_of_anybody_nobody_can_say(name: str) -> None:
    fact = getattr(account_context(never_signed_in()), name)
    assert (fact.state, fact.why) == (FactState.UNKNOWN, "no sign-in data received")


@pytest.mark.parametrize("name", FROM_THE_PLATFORM)
def test_once_anybody_signed_in_there_was_none_since(name: str) -> None:
    first = before(days=3)
    fact = getattr(account_context(never_signed_in(first_signin_at=first)), name)
    assert (fact.state, fact.since) == (FactState.NONE, first)


@pytest.mark.parametrize(("name", "days"), [("signin_locations", 90), ("signin_networks", 90), ("failed_signins", 30)])
def test_none_since_no_longer_than_the_window(name: str, days: int) -> None:
    fact = getattr(account_context(never_signed_in(first_signin_at=before(days=200))), name)
    assert fact.since == before(days=days)


@pytest.mark.parametrize("name", ["access_email_last_sent", "recovery_code_last_sent"])
def test_our_own_mails_are_known_whatever_the_platform_reports(name: str) -> None:
    fact = getattr(account_context(never_signed_in()), name)
    assert (fact.state, fact.since) == (FactState.NONE, before(days=100))


def test_what_is_known_is_known_even_before_any_sign_in() -> None:
    changed = milestone(MilestoneKind.PASSWORD_CHANGED, before(days=2))
    fact = account_context(never_signed_in(milestones={changed.kind: changed})).password_last_changed
    assert (fact.state, fact.value, fact.as_of) == (FactState.KNOWN, before(days=2), before(days=2))


def test_locations_are_unknown_where_only_networks_are_known() -> None:
    fact = account_context(a_snapshot(locations=())).signin_locations
    assert fact.state is FactState.UNKNOWN


def test_failures_are_counted_by_kind_the_most_frequent_first() -> None:
    failures = FailureCounts(
        last_24_hours=0, last_30_days=6, by_failure={"locked": 1, "bad-password": 5}, last_at=before(days=2)
    )
    value = account_context(a_snapshot(failures=failures)).failed_signins.value
    assert value is not None
    assert (value.last_24_hours, value.last_30_days, value.last_at) == (0, 6, before(days=2))
    assert [(one.failure, one.count) for one in value.by_failure] == [("bad-password", 5), ("locked", 1)]


def test_a_network_without_an_as_is_shown_by_its_prefix() -> None:
    seen = SeenPlace("5.146.0.0/24", "5.146.0.0/24", 3, NOW)
    value = account_context(a_snapshot(networks=(seen,))).signin_networks.value
    assert value is not None
    assert (value[0].label, value[0].asn, value[0].count) == ("5.146.0.0/24", None, 3)


def test_used_before_is_unknown_without_an_account_or_any_sign_in() -> None:
    request = asked("a@example.org").data
    nobody = request_context(request, an_origin(), [], None).ip_used_before
    assert (nobody.state, nobody.why) == (FactState.UNKNOWN, "no account has this address")
    silent = request_context(request, an_origin(), [], never_signed_in()).network_used_before
    assert (silent.state, silent.why) == (FactState.UNKNOWN, "no sign-in data received")


def test_used_before_says_no_once_there_is_sign_in_data() -> None:
    snapshot = never_signed_in(first_signin_at=before(days=1))
    fact = request_context(asked("a@example.org").data, an_origin(), [], snapshot).ip_used_before
    assert fact.value is not None
    assert fact.value.used is False


def test_special_addresses_say_what_they_are() -> None:
    origin = Origin("10.1.2.3", AddressKind.PRIVATE, "10.1.2.0/24", None, None)
    about = request_context(asked("a@example.org", ip="10.1.2.3").data, origin, [], None)
    assert (about.location.why, about.network.why) == ("private address", "private address")


def test_a_location_that_is_not_known_says_why() -> None:
    about = request_context(asked("a@example.org").data, an_origin(location=None, network=None), [], None)
    assert (about.location.state, about.location.why) == (FactState.UNKNOWN, "not known")


def test_earlier_requests() -> None:
    none = earlier_requests(NOW, [])
    assert (none.state, none.since) == (FactState.NONE, before(days=30))
    earlier = [
        Earlier(asked("a@example.org").data.reference_id, NOW - timedelta(minutes=minute), minute % 2 == 0, "n")
        for minute in range(1, 26)
    ]
    value = earlier_requests(NOW, earlier).value
    assert value is not None
    assert value.count == 25
    assert [item.reference_id for item in value.items] == [request.reference_id for request in earlier[:20]]
