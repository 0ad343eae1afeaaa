"""What ends an action, and what its status is said to be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.recovery.domain.account import Account
from services.recovery.domain.actions import Action, ActionStatus, why_over
from services.recovery.ports import MailFailure
from shared.schemas.identity import AccountStatus
from shared.schemas.recovery import ActionKind

ISSUED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ACTION = Action(
    action_id="a",
    kind=ActionKind.RECOVERY_CODE,
    account_id="p",
    status=ActionStatus.SENT,
    actor="admin",
    issued_at=ISSUED,
    address_hash="h",
    reason="other",
    actor_level=2,
    actor_expert=True,
    expires_at=ISSUED + timedelta(hours=1),
)
PERSON = Account("p", "p@example.org", "P", AccountStatus.ACTIVE, True, 0, 0, False)


@pytest.mark.parametrize(
    ("changes", "hashes", "reason"),
    [
        ({}, ("h",), None),
        ({}, ("new-key", "h"), None),
        ({}, ("other",), "email-changed"),
        ({}, (), "email-changed"),
        ({"status": AccountStatus.LOCKED}, ("h",), None),
        ({"status": AccountStatus.DISABLED}, ("h",), "account-disabled"),
        ({"ended_at": ISSUED + timedelta(microseconds=1), "ended_by": "signed-in"}, ("h",), "signed-in"),
        ({"ended_at": ISSUED, "ended_by": "signed-in"}, ("h",), None),
        ({"ended_at": ISSUED - timedelta(days=1), "ended_by": "password-changed"}, ("h",), None),
    ],
)
def test_what_ends_an_action(changes: dict[str, Any], hashes: tuple[str, ...], reason: str | None) -> None:
    assert why_over(ACTION, replace(PERSON, **changes), hashes) == reason


def test_a_removed_account_ends_it() -> None:
    assert why_over(ACTION, None, ()) == "account-removed"


def test_what_ran_out_is_expired_before_anybody_wrote_it_down() -> None:
    assert ACTION.shown_status(ISSUED + timedelta(minutes=59)) is ActionStatus.SENT
    assert ACTION.shown_status(ISSUED + timedelta(hours=1)) is ActionStatus.EXPIRED
    used = replace(ACTION, status=ActionStatus.USED)
    assert used.shown_status(ISSUED + timedelta(days=1)) is ActionStatus.USED


def test_addresses_of_the_owner_are_each_told_once() -> None:
    person = replace(PERSON, notification_emails=("P@EXAMPLE.org", "two@example.net", "not an address"))
    assert person.owner_addresses == ("p@example.org", "two@example.net")
    assert not replace(PERSON, email="").deliverable
    assert not replace(PERSON, email="a@x, b@y").deliverable


def test_a_failure_is_an_exception_that_can_be_raised() -> None:
    with pytest.raises(MailFailure):
        raise MailFailure(permanent=True, smtp_status=550, answer="no")
