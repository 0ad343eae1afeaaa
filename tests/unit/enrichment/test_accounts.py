"""The state of accounts: of each field the newest statement wins, in whatever order they come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from services.enrichment.domain.accounts import Account, account_of, match_of, patches
from services.enrichment.domain.versions import NEVER, time_of, version_of
from shared.schemas.enrichment import Match
from shared.schemas.envelope import Event
from tests.unit.enrichment.builders import (
    NOW,
    an_account,
    backup_codes_changed,
    before,
    email_changed,
    locked,
    removed,
    signed_in,
    two_factor_changed,
    unlocked,
)

SECOND = timedelta(seconds=1)


def account_after(events: Sequence[Event[Any]]) -> Account | None:
    """The account, which has to be the same for every order of the events."""
    outcomes = {account_of(patches(order)[0]) for order in permutations(events)}
    assert len(outcomes) == 1
    return outcomes.pop()


def test_a_full_report_makes_an_account() -> None:
    account = account_after([an_account("a", NOW, locale="de")])
    assert account is not None
    assert (account.email, account.status, account.locale, account.reported_at) == (
        "a@example.org",
        "active",
        "de",
        NOW,
    )


def test_the_newer_report_wins_and_drops_what_it_leaves_out() -> None:
    account = account_after([an_account("a", NOW, locale="de"), an_account("a", NOW + SECOND, display_name="New")])
    assert account is not None
    assert (account.display_name, account.locale) == ("New", None)


def test_at_the_same_time_the_greater_id_wins() -> None:
    account = account_after(
        [an_account("a", NOW, id="1", display_name="First"), an_account("a", NOW, id="2", display_name="Second")]
    )
    assert account is not None
    assert account.display_name == "Second"


def test_ids_compare_by_code_point_as_postgresql_does_with_collation_c() -> None:
    account = account_after(
        [an_account("a", NOW, id="a", display_name="Lower"), an_account("a", NOW, id="B", display_name="Upper")]
    )
    assert account is not None
    assert account.display_name == "Lower"


def test_changes_update_only_their_field_and_only_when_newer() -> None:
    account = account_after(
        [
            an_account("a", NOW, two_factor_enabled=False, unused_backup_codes=1),
            email_changed("a", "a@example.org", "new@example.org", NOW + SECOND),
            two_factor_changed("a", "enrolled", NOW - SECOND),
            backup_codes_changed("a", "generated", 10, NOW + 2 * SECOND),
        ]
    )
    assert account is not None
    assert account.email == "new@example.org"
    assert account.two_factor_enabled is False
    assert account.unused_backup_codes == 10
    assert (account.reported_at, account.two_factor_at) == (NOW, NOW)
    assert account.backup_codes_at == NOW + 2 * SECOND


def test_a_later_full_report_wins_over_a_change() -> None:
    account = account_after(
        [an_account("a", NOW + SECOND), email_changed("a", "x@example.org", "old@example.org", NOW), an_account("a")]
    )
    assert account is not None
    assert account.email == "a@example.org"


@pytest.mark.parametrize(
    ("reported", "change", "status"),
    [
        ("active", locked, "locked"),
        ("locked", unlocked, "active"),
        ("disabled", locked, "disabled"),
        ("disabled", unlocked, "disabled"),
    ],
)
def test_a_lock_never_changes_disabled(reported: str, change: Any, status: str) -> None:
    account = account_after([an_account("a", NOW, status=reported), change("a", NOW + SECOND)])
    assert account is not None
    assert account.status == status


def test_an_older_lock_has_no_effect() -> None:
    account = account_after([an_account("a", NOW), locked("a", NOW - SECOND)])
    assert account is not None
    assert account.status == "active"


def test_a_disabled_account_that_was_locked_is_active_after_a_report_says_so() -> None:
    account = account_after(
        [an_account("a", NOW, status="disabled"), locked("a", NOW + SECOND), an_account("a", NOW + 2 * SECOND)]
    )
    assert account is not None
    assert account.status == "active"


def test_a_removed_account_is_unknown() -> None:
    assert account_after([an_account("a", NOW), removed("a", NOW + SECOND)]) is None


def test_a_removed_account_stays_unknown_through_changes_and_older_reports() -> None:
    assert account_after([an_account("a", NOW), removed("a", NOW + SECOND), unlocked("a", NOW + 2 * SECOND)]) is None


def test_a_newer_report_revives_a_removed_account() -> None:
    account = account_after([an_account("a", NOW), removed("a", NOW + SECOND), an_account("a", NOW + 2 * SECOND)])
    assert account is not None


def test_changes_alone_make_no_account() -> None:
    assert account_after([two_factor_changed("a", "enrolled"), locked("a")]) is None


def test_patches_are_sorted_and_leave_sign_ins_out() -> None:
    found = patches([an_account("b"), signed_in("c"), an_account("a"), locked("b")])
    assert [patch.account_id for patch in found] == ["a", "b"]


def test_versions_sort_as_time_then_id() -> None:
    moments = [before(microseconds=1), NOW, NOW + timedelta(microseconds=1), datetime(999, 1, 1, tzinfo=UTC)]
    versions = [version_of(moment, event_id) for moment in moments for event_id in ("", "a", "ab", "b")]
    assert sorted(versions) == sorted(versions, key=lambda version: (time_of(version), version[28:]))
    assert all(version > NEVER for version in versions)


def test_matching() -> None:
    one = account_after([an_account("a")])
    two = account_after([an_account("b")])
    assert one is not None
    assert two is not None
    assert match_of([]) == (Match.NONE, None)
    assert match_of([one]) == (Match.EXACT, one)
    assert match_of([one, two]) == (Match.AMBIGUOUS, None)
