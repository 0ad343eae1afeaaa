"""What happened to each account in three months: the changes that lead to the state in `organisation`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploy.demo.organisation import ACCOUNTS, Account


@dataclass(frozen=True)
class Change:
    """One change: when (days before the anchor, and minutes after that), of what kind, and its values.

    `kind` is the event type's middle part; `account` stands for a change that only the full state tells of.
    """

    days_ago: float
    kind: str
    values: dict[str, Any]


# Where the state at the beginning differs from the one at the end.
INITIAL: dict[str, dict[str, Any]] = {
    "u-1001": {"data_protection_access": 0},
    "u-1003": {"unused_backup_codes": 10},
    "u-1006": {"unused_backup_codes": 3, "status": "active"},
    "u-1007": {"unused_backup_codes": 6},
    "u-1008": {"two_factor_enabled": True, "unused_backup_codes": 8},
    "u-1009": {"unused_backup_codes": 5},
    "u-1010": {"status": "active"},
    "u-1011": {"status": "active"},
    "u-1012": {"unused_backup_codes": 2},
    "u-1013": {"email": "leo.bobbin@example.org", "unused_backup_codes": 1},
    "u-1014": {"unused_backup_codes": 6},
    "u-1015": {"status": "active"},
    "u-1016": {"unused_backup_codes": 4},
    "u-1019": {"status": "active", "unused_backup_codes": 3},
    "u-1020": {"two_factor_enabled": False, "unused_backup_codes": 0},
}

_USED = {"change": "used"}
_GENERATED = {"change": "generated", "unused": 10}

CHANGES: dict[str, tuple[Change, ...]] = {
    "u-1001": (Change(80.4, "account", {"data_protection_access": 1}), Change(50.5, "password-changed", {})),
    "u-1002": (Change(33.4, "password-changed", {}),),
    "u-1003": (Change(41.6, "backup-codes-changed", _USED),),
    "u-1004": (Change(70.5, "password-changed", {}),),
    "u-1005": (Change(12.4, "password-changed", {}),),
    # Erin loses the phone nine days before the end and lives on backup codes until none is left.
    "u-1006": (
        Change(8.6, "backup-codes-changed", _USED),
        Change(7.6, "backup-codes-changed", _USED),
        Change(3.6, "backup-codes-changed", _USED),
    ),
    "u-1007": (Change(25.5, "backup-codes-changed", _USED),),
    "u-1008": (Change(30.5, "two-factor-changed", {"change": "removed"}),),
    "u-1009": (Change(60.5, "backup-codes-changed", _USED), Change(22.4, "backup-codes-changed", _USED)),
    "u-1010": (Change(15.2, "account", {"status": "disabled"}),),
    "u-1011": (Change(2.6, "locked", {}),),
    "u-1012": (
        Change(75.2, "backup-codes-changed", _GENERATED),
        Change(54.2, "backup-codes-changed", _USED),
        Change(36.2, "backup-codes-changed", _USED),
        Change(9.2, "backup-codes-changed", _USED),
    ),
    "u-1013": (
        Change(5.2, "email-changed", {"old": "leo.bobbin@example.org", "new": "leo.thimble@example.org"}),
        Change(4.2, "backup-codes-changed", _GENERATED),
    ),
    "u-1014": (
        Change(2.94, "two-factor-changed", {"change": "removed"}),
        Change(2.93, "two-factor-changed", {"change": "enrolled"}),
        Change(2.929, "backup-codes-changed", _GENERATED),
    ),
    "u-1015": (Change(40.6, "account", {"status": "disabled"}),),
    "u-1016": (
        Change(66.9, "backup-codes-changed", _USED),
        Change(45.7, "backup-codes-changed", _USED),
        Change(19.9, "backup-codes-changed", _USED),
    ),
    "u-1017": (Change(20.5, "account-removed", {}),),
    "u-1018": (Change(6.8, "password-changed", {}),),
    "u-1019": (
        Change(50.4, "locked", {}),
        Change(50.3, "unlocked", {}),
        Change(27.4, "backup-codes-changed", _USED),
        Change(1.4, "locked", {}),
    ),
    "u-1020": (
        Change(85.7, "two-factor-changed", {"change": "enrolled"}),
        Change(85.699, "backup-codes-changed", _GENERATED),
        Change(58.7, "backup-codes-changed", _USED),
        Change(31.7, "backup-codes-changed", _USED),
    ),
}

# Trips: from, to (days before the anchor) and the network at the destination.
TRIPS: dict[str, tuple[tuple[int, int, str], ...]] = {
    "u-1002": ((62, 60, "travel-frankfurt"),),
    "u-1012": ((31, 27, "office-london"),),
    "u-1016": ((48, 42, "travel-paris"), (17, 13, "home-singapore")),
    "u-1003": ((70, 66, "home-dubai"),),
}

# The last day before the anchor on which somebody still signs in, for those who can't any more.
LAST_ACTIVE: dict[str, float] = {
    account_id: changes[-1].days_ago
    for account_id, changes in CHANGES.items()
    if changes[-1].kind in ("locked", "account-removed") or changes[-1].values.get("status") == "disabled"
} | {"u-1006": 3.59, "u-1007": 4.2}


def apply(state: dict[str, Any], change: Change) -> dict[str, Any]:
    """Return the account's state after a change, by the rules of the published events."""
    after = dict(state)
    match change.kind:
        case "account":
            after.update(change.values)
        case "email-changed":
            after["email"] = change.values["new"]
        case "two-factor-changed":
            after["two_factor_enabled"] = change.values["change"] == "enrolled"
            if not after["two_factor_enabled"]:
                after["unused_backup_codes"] = 0
        case "backup-codes-changed":
            after["unused_backup_codes"] = change.values.get("unused", state["unused_backup_codes"] - 1)
        case "locked" | "unlocked":
            after["status"] = "locked" if change.kind == "locked" else "active"
    return after


def states(account: Account) -> Iterator[tuple[Change | None, dict[str, Any]]]:
    """The account's state at the beginning, then after each of its changes."""
    state = account.state() | INITIAL.get(account.account_id, {})
    yield None, state
    for change in CHANGES.get(account.account_id, ()):
        state = apply(state, change)
        yield change, state


def story_of_everyone() -> Iterator[tuple[Account, list[tuple[Change | None, dict[str, Any]]]]]:
    """Each account with its states."""
    for account in ACCOUNTS:
        yield account, list(states(account))
