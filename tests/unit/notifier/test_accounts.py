"""The projection's rules: the newest statement wins, in whatever order and however often events arrive."""

from __future__ import annotations

from datetime import timedelta
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.domain.accounts import Account, joined, stated_by
from shared.schemas.identity import AccountStatus
from tests.unit.notifier.builders import NOW, email_changed, locked, removed, reported, unlocked


def at(minutes: int) -> Any:
    return NOW + timedelta(minutes=minutes)


def after(*events: Any) -> Account:
    (account,) = joined(events)
    return account


_events = st.one_of(
    st.builds(
        lambda minute, status, level: reported("a", at=at(minute), status=status, data_protection_access=level),
        st.integers(0, 5),
        st.sampled_from(["active", "locked", "disabled"]),
        st.integers(0, 2),
    ),
    st.builds(lambda minute: locked("a", at=at(minute)), st.integers(0, 5)),
    st.builds(lambda minute: unlocked("a", at=at(minute)), st.integers(0, 5)),
    st.builds(lambda minute: removed("a", at=at(minute)), st.integers(0, 5)),
    st.builds(
        lambda minute, new: email_changed("a", new, at=at(minute)), st.integers(0, 5), st.just("new@example.org")
    ),
)


@given(st.lists(_events, min_size=1, max_size=8).flatmap(lambda e: st.tuples(st.just(e), st.permutations(e + e[:2]))))
def test_any_order_and_repetition_ends_in_the_same_state(both: tuple[list[Any], list[Any]]) -> None:
    events, shuffled = both
    one_by_one = reduce(Account.join, (stated_by(event) for event in shuffled))
    assert after(*events) == after(*shuffled) == one_by_one


def test_lock_and_unlock_never_change_disabled() -> None:
    disabled = reported("a", at=at(0), status="disabled")
    assert after(disabled, locked("a", at=at(1)), unlocked("a", at=at(2))).status is AccountStatus.DISABLED


@pytest.mark.parametrize(
    ("lock", "report", "status"),
    [(1, 2, AccountStatus.ACTIVE), (2, 1, AccountStatus.LOCKED)],
)
def test_a_report_and_a_lock_the_newer_wins(lock: int, report: int, status: AccountStatus) -> None:
    assert after(reported("a", at=at(report)), locked("a", at=at(lock))).status is status


def test_a_lock_shows_once_a_late_report_reveals_that_the_account_was_enabled_before() -> None:
    events = [reported("a", at=at(0), status="disabled"), locked("a", at=at(3)), reported("a", at=at(2))]
    assert after(*events).status is AccountStatus.LOCKED


def test_removed_until_a_newer_report_and_an_address_does_not_revive() -> None:
    gone = [reported("a", at=at(0)), removed("a", at=at(1)), email_changed("a", "new@example.org", at=at(2))]
    assert after(*gone).why_not_told(1) == "no-account"
    assert after(*gone, reported("a", at=at(3))).why_not_told(1) is None


def test_events_of_one_moment_are_told_apart_by_id() -> None:
    first, second = sorted(
        [reported("a", at=at(0), email="x@example.org"), reported("a", at=at(0))], key=lambda e: e.id
    )
    account = after(second, first)
    assert account.email is not None
    assert account.email.value == second.data.email


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"data_protection_access": 3}, None),
        ({"data_protection_access": 0}, "no-permission"),
        ({"status": "locked"}, "account-locked"),
        ({"status": "disabled"}, "account-disabled"),
        ({"email": ""}, "no-address"),
        ({"data_protection_access": 0, "expert_mode": True}, "no-permission"),
    ],
)
def test_who_is_told(changes: dict[str, Any], why: str | None) -> None:
    assert after(reported("a", **changes)).why_not_told(1) == why
