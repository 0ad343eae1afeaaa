"""An action: what an administrator did for an account, and what became of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from services.recovery.domain.account import ENDED_BY_EMAIL, Account
from shared.schemas.identity import AccountStatus
from shared.schemas.recovery import ActionKind

MAX_WRONG_ATTEMPTS = 5  # over all codes of an action; kratos allows as many, NIST SP 800-63B-4 (3.2.2) a hundred


class ActionStatus(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    USED = "used"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    KILLED = "killed"
    DENIED = "denied"


LIVE = (ActionStatus.QUEUED, ActionStatus.SENT)
"""What was mailed may be used. Queued too: the answer of a server that took the mail may have been lost."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action, as it is now."""

    action_id: str
    kind: ActionKind
    account_id: str
    status: ActionStatus
    actor: str
    issued_at: datetime
    address_hash: str
    """Keyed hash of the registered address at the issue."""
    reason: str
    actor_level: int
    actor_expert: bool
    reference_id: str | None = None
    on_behalf_of: str | None = None
    details: str | None = None
    verification: dict[str, Any] | None = None
    expires_at: datetime | None = None
    """When the last of what was mailed runs out; None before the first mail."""
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    ended_reason: str | None = None

    def shown_status(self, now: datetime) -> ActionStatus:
        """The status to report: what ran out is expired, even before the sweeper wrote it down."""
        if self.status is ActionStatus.SENT and self.expires_at is not None and self.expires_at <= now:
            return ActionStatus.EXPIRED
        return self.status


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long what is mailed can be used, and how long the mail is tried."""

    code: timedelta = timedelta(hours=1)
    link: timedelta = timedelta(hours=24)
    code_mail: timedelta = timedelta(hours=1)
    other_mail: timedelta = timedelta(hours=24)

    def of_secret(self, kind: ActionKind) -> timedelta:
        return self.code if kind is ActionKind.RECOVERY_CODE else self.link

    def of_mail(self, kind: ActionKind) -> timedelta:
        return self.code_mail if kind is ActionKind.RECOVERY_CODE else self.other_mail


def why_over(action: Action, account: Account | None, address_hashes: Collection[str]) -> str | None:
    """Why a live action is over because of its account, as a reason code; None while it is not.

    Args:
        account: the account now, None when it is removed or unknown.
        address_hashes: the keyed hashes of its registered address now, under every key.
    """
    if account is None:
        return "account-removed"
    if account.status is AccountStatus.DISABLED:
        return "account-disabled"
    if account.ended_at is not None and account.ended_at > action.issued_at:
        return account.ended_by
    if action.address_hash not in address_hashes:
        # By whatever event, and whatever its time: what went to the old address must not open the account.
        return ENDED_BY_EMAIL
    return None
