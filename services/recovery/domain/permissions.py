"""Who may act, and on whom (contract section 2): asked with the action, and again when it is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.recovery.domain.account import Account
from shared.schemas.identity import AccountStatus
from shared.schemas.recovery import ActionKind


class Rule(StrEnum):
    """The rule that an attempt broke: the `reason` of `action-denied`, and the end of the problem's type."""

    PERMISSION = "permission"
    SELF_SERVICE = "self-service"
    HIGHER_PRIVILEGE = "higher-privilege"


@dataclass(frozen=True, slots=True)
class Denial:
    """What an administrator may not do, and why, in words for them."""

    rule: Rule
    detail: str


@dataclass(frozen=True, slots=True)
class Permissions:
    """The organisation's levels and rules."""

    access_email_level: int = 1
    recovery_code_level: int = 2
    forbid_self_service: bool = True
    forbid_higher_target: bool = True

    def to_look(self, admin: Account | None) -> Denial | None:
        """Whether this account may use the administrators' interface at all."""
        if admin is None:
            return Denial(Rule.PERMISSION, "The directory knows no account of yours, so it gives you no permission.")
        if admin.status is not AccountStatus.ACTIVE:
            return Denial(Rule.PERMISSION, f"Your account is {admin.status.value}.")
        if admin.data_protection_access < self.access_email_level:
            return Denial(
                Rule.PERMISSION,
                f"This needs data protection access of level {self.access_email_level}; "
                f"yours is {admin.data_protection_access}.",
            )
        return None

    def to_ask(self, admin: Account | None, kind: ActionKind) -> Denial | None:
        """Whether this account may ask for such an action, whomever it is for."""
        denial = self.to_look(admin)
        if denial is not None or admin is None or kind is ActionKind.ACCESS_EMAIL:
            return denial
        if admin.data_protection_access < self.recovery_code_level:
            return Denial(
                Rule.PERMISSION,
                f"A recovery code needs data protection access of level {self.recovery_code_level}; "
                f"yours is {admin.data_protection_access}.",
            )
        if not admin.expert_mode:
            return Denial(Rule.PERMISSION, "A recovery code needs expert mode, which your account does not have.")
        return None

    def to_act_on(self, admin: Account, target: Account) -> Denial | None:
        """Whether this account may act on that one."""
        if self.forbid_self_service and admin.account_id == target.account_id:
            return Denial(Rule.SELF_SERVICE, "Nobody acts on their own account; ask another administrator.")
        if self.forbid_higher_target and target.data_protection_access > admin.data_protection_access:
            return Denial(Rule.HIGHER_PRIVILEGE, "This account has more data protection access than yours.")
        return None

    def denial(self, admin: Account | None, kind: ActionKind, target: Account) -> Denial | None:
        """Both together: what is asked again when the action is carried out."""
        refused = self.to_ask(admin, kind)
        if refused is not None or admin is None:
            return refused
        return self.to_act_on(admin, target)
