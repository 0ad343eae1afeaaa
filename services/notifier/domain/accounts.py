"""What notifier knows of accounts, joined from events in any order, and who of them is told of requests.

An account is four registers; of each, the newest event wins by (`time`, `id`): the full report, the address, the
lock and the removal. Joining is commutative,
associative and idempotent: order and repetition of events don't matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from shared.schemas.envelope import Event
from shared.schemas.identity import (
    AccountLocked,
    AccountRemoved,
    AccountReported,
    AccountStatus,
    AccountUnlocked,
    EmailChanged,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """When something was said: what decides which of two statements is newer."""

    time: datetime
    event_id: str


@dataclass(frozen=True, slots=True)
class Register(Generic[T]):
    """The newest statement about one thing."""

    stamp: Stamp
    value: T


@dataclass(frozen=True, slots=True)
class Profile:
    """The part of an account's report that notifier needs, the address apart."""

    display_name: str
    status: AccountStatus
    level: int
    locale: str | None
    time_zone: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """What has been said about one account so far."""

    account_id: str
    profile: Register[Profile] | None = None
    email: Register[str] | None = None
    locked: Register[bool] | None = None
    removed: Register[None] | None = None

    def join(self, other: Account) -> Account:
        """What both know together."""
        return Account(
            self.account_id,
            _newer(self.profile, other.profile),
            _newer(self.email, other.email),
            _newer(self.locked, other.locked),
            _newer(self.removed, other.removed),
        )

    @property
    def exists(self) -> bool:
        """Whether it was reported, and not removed since."""
        if self.profile is None:
            return False
        return self.removed is None or self.removed.stamp < self.profile.stamp

    @property
    def status(self) -> AccountStatus | None:
        """The reported status with a newer lock or unlock on top, which never changes `disabled`."""
        if self.profile is None:
            return None
        reported = self.profile.value.status
        if reported is AccountStatus.DISABLED or self.locked is None or self.locked.stamp < self.profile.stamp:
            return reported
        return AccountStatus.LOCKED if self.locked.value else AccountStatus.ACTIVE

    def why_not_told(self, level: int) -> str | None:
        """None for who is told of requests; else the reason code."""
        if not self.exists or self.profile is None:
            return "no-account"
        if self.profile.value.level < level:
            return "no-permission"
        if self.status is not AccountStatus.ACTIVE:
            return f"account-{self.status}"
        if self.email is None or not self.email.value:
            return "no-address"
        return None


def _newer(one: Register[T] | None, other: Register[T] | None) -> Register[T] | None:
    if one is None or other is None:
        return one or other
    return other if one.stamp < other.stamp else one


IDENTITY_EVENTS = (AccountReported, AccountRemoved, EmailChanged, AccountLocked, AccountUnlocked)


def stated_by(event: Event) -> Account:  # type: ignore[type-arg]
    """What one event says. Raises TypeError for one that says nothing about the registers."""
    stamp = Stamp(event.time, event.id)
    match event:
        case AccountReported(data=data):
            profile = Profile(data.display_name, data.status, data.data_protection_access, data.locale, data.time_zone)
            return Account(data.account_id, profile=Register(stamp, profile), email=Register(stamp, data.email))
        case EmailChanged(data=data):
            return Account(data.account_id, email=Register(stamp, data.new))
        case AccountLocked(data=data):
            return Account(data.account_id, locked=Register(stamp, True))
        case AccountUnlocked(data=data):
            return Account(data.account_id, locked=Register(stamp, False))
        case AccountRemoved(data=data):
            return Account(data.account_id, removed=Register(stamp, None))
    raise TypeError(event.type)


def joined(events: Iterable[Event]) -> list[Account]:  # type: ignore[type-arg]
    """What a batch of events says, one entry an account, in the order of account ids."""
    accounts: dict[str, Account] = {}
    for event in events:
        stated = stated_by(event)
        known = accounts.get(stated.account_id)
        accounts[stated.account_id] = stated if known is None else known.join(stated)
    # Rows are locked in this order by everybody, so that two replicas can't deadlock.
    return [accounts[account_id] for account_id in sorted(accounts)]
