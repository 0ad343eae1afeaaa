"""Who may do what to whom: every row of the table, for both actions."""

from __future__ import annotations

import pytest

from services.recovery.domain.account import Account
from services.recovery.domain.permissions import Permissions, Rule
from shared.schemas.identity import AccountStatus
from shared.schemas.recovery import ActionKind

LINK, CODE = ActionKind.ACCESS_EMAIL, ActionKind.RECOVERY_CODE
NO, SELF, HIGHER, YES = Rule.PERMISSION, Rule.SELF_SERVICE, Rule.HIGHER_PRIVILEGE, None


def account(name: str, level: int, *, expert: bool = False, status: str = "active") -> Account:
    return Account(
        account_id=name,
        email=f"{name}@example.org",
        display_name=name,
        status=AccountStatus(status),
        two_factor_enabled=True,
        unused_backup_codes=0,
        data_protection_access=level,
        expert_mode=expert,
    )


ADMINS = {
    "nobody": None,
    "level 0": account("admin", 0),
    "level 0 expert": account("admin", 0, expert=True),
    "level 1": account("admin", 1),
    "level 1 expert": account("admin", 1, expert=True),
    "level 2": account("admin", 2),
    "level 2 expert": account("admin", 2, expert=True),
    "level 3 expert": account("admin", 3, expert=True),
    "locked": account("admin", 3, expert=True, status="locked"),
    "disabled": account("admin", 3, expert=True, status="disabled"),
}
# admin → (link, code) for: an ordinary account, their own, one of level 2, one of level 3
TABLE = {
    "nobody": [(NO, NO), (NO, NO), (NO, NO), (NO, NO)],
    "level 0": [(NO, NO), (NO, NO), (NO, NO), (NO, NO)],
    "level 0 expert": [(NO, NO), (NO, NO), (NO, NO), (NO, NO)],
    "level 1": [(YES, NO), (SELF, NO), (HIGHER, NO), (HIGHER, NO)],
    "level 1 expert": [(YES, NO), (SELF, NO), (HIGHER, NO), (HIGHER, NO)],
    "level 2": [(YES, NO), (SELF, NO), (YES, NO), (HIGHER, NO)],
    "level 2 expert": [(YES, YES), (SELF, SELF), (YES, YES), (HIGHER, HIGHER)],
    "level 3 expert": [(YES, YES), (SELF, SELF), (YES, YES), (YES, YES)],
    "locked": [(NO, NO), (NO, NO), (NO, NO), (NO, NO)],
    "disabled": [(NO, NO), (NO, NO), (NO, NO), (NO, NO)],
}


def rule(permissions: Permissions, admin: Account | None, kind: ActionKind, target: Account) -> Rule | None:
    denial = permissions.denial(admin, kind, target)
    return denial.rule if denial else None


@pytest.mark.parametrize("name", TABLE)
def test_the_table(name: str) -> None:
    admin = ADMINS[name]
    own = admin or account("admin", 0)
    targets = [account("person", 0), own, account("second", 2), account("third", 3)]
    found = [(rule(Permissions(), admin, LINK, target), rule(Permissions(), admin, CODE, target)) for target in targets]
    assert found == TABLE[name]


def test_rules_can_be_turned_off() -> None:
    lax = Permissions(forbid_self_service=False, forbid_higher_target=False)
    admin = account("admin", 2, expert=True)
    assert rule(lax, admin, CODE, admin) is None
    assert rule(lax, admin, CODE, account("third", 3)) is None
    # Permission itself can't.
    assert rule(lax, account("admin", 1), CODE, account("person", 0)) is NO


def test_levels_are_settings() -> None:
    strict = Permissions(access_email_level=2, recovery_code_level=4)
    assert strict.to_look(account("admin", 1)) is not None
    assert strict.to_look(account("admin", 2)) is None
    assert rule(strict, account("admin", 3, expert=True), CODE, account("person", 0)) is NO
    assert rule(strict, account("admin", 4, expert=True), CODE, account("person", 0)) is None
