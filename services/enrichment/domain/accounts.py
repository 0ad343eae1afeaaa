"""The state of accounts out of events in any order: of each field the newest statement wins.

Every field, or group of fields that is only ever stated together, is a register with the version of the event that set
it. Registers commute, so order and duplication of events don't matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.enrichment.domain.versions import NEVER, time_of, version_of
from shared.schemas.enrichment import Match
from shared.schemas.envelope import Event
from shared.schemas.identity import (
    AccountLocked,
    AccountRemoved,
    AccountReported,
    AccountStatus,
    AccountUnlocked,
    BackupCodesChanged,
    EmailChanged,
    TwoFactorChange,
    TwoFactorChanged,
)


@dataclass(slots=True)
class AccountPatch:
    """What some events say about one account; `NEVER` where they say nothing."""

    account_id: str
    reported_version: str = NEVER
    """Of the fields that only a full report states: name, locale, time zone, disabled."""
    display_name: str = ""
    locale: str | None = None
    time_zone: str | None = None
    disabled: bool = False
    removed_version: str = NEVER
    email_version: str = NEVER
    email: str = ""
    two_factor_version: str = NEVER
    two_factor_enabled: bool = False
    backup_codes_version: str = NEVER
    unused_backup_codes: int = 0
    locked_version: str = NEVER
    locked: bool = False

    def apply(self, event: Event[Any]) -> None:
        """Take what the event says, where it is newer than what is here."""
        version = version_of(event.time, event.id)
        match event:
            case AccountReported():
                self._report(version, event)
            case AccountRemoved():
                self.removed_version = max(self.removed_version, version)
            case EmailChanged():
                self._set_email(version, event.data.new)
            case TwoFactorChanged():
                self._set_two_factor(version, event.data.change is TwoFactorChange.ENROLLED)
            case BackupCodesChanged():
                self._set_backup_codes(version, event.data.unused)
            case AccountLocked():
                self._set_locked(version, True)
            case AccountUnlocked():
                self._set_locked(version, False)

    def _report(self, version: str, event: AccountReported) -> None:
        data = event.data
        if version > self.reported_version:
            self.reported_version = version
            self.display_name, self.locale, self.time_zone = data.display_name, data.locale, data.time_zone
            self.disabled = data.status is AccountStatus.DISABLED
        self._set_email(version, data.email)
        self._set_two_factor(version, data.two_factor_enabled)
        self._set_backup_codes(version, data.unused_backup_codes)
        self._set_locked(version, data.status is AccountStatus.LOCKED)

    def _set_email(self, version: str, email: str) -> None:
        if version > self.email_version:
            self.email_version, self.email = version, email

    def _set_two_factor(self, version: str, enabled: bool) -> None:
        if version > self.two_factor_version:
            self.two_factor_version, self.two_factor_enabled = version, enabled

    def _set_backup_codes(self, version: str, unused: int) -> None:
        if version > self.backup_codes_version:
            self.backup_codes_version, self.unused_backup_codes = version, unused

    def _set_locked(self, version: str, locked: bool) -> None:
        if version > self.locked_version:
            self.locked_version, self.locked = version, locked


STATE_EVENTS = (
    AccountReported,
    AccountRemoved,
    EmailChanged,
    TwoFactorChanged,
    BackupCodesChanged,
    AccountLocked,
    AccountUnlocked,
)


def patches(events: Iterable[Event[Any]]) -> list[AccountPatch]:
    """Reduce events to one patch an account, sorted by account id so that two writers lock rows in the same order."""
    found: dict[str, AccountPatch] = {}
    for event in events:
        if isinstance(event, STATE_EVENTS):
            account_id = event.data.account_id
            found.setdefault(account_id, AccountPatch(account_id)).apply(event)
    return [found[account_id] for account_id in sorted(found)]


@dataclass(frozen=True, slots=True)
class Account:
    """An account as last reported."""

    account_id: str
    email: str
    display_name: str
    status: AccountStatus
    two_factor_enabled: bool
    unused_backup_codes: int
    locale: str | None
    time_zone: str | None
    reported_at: datetime
    status_at: datetime
    two_factor_at: datetime
    backup_codes_at: datetime


def account_of(patch: AccountPatch) -> Account | None:
    """Give the account that a full set of registers describes; None when it was removed, or never reported.

    An event other than a full report doesn't make an account: nobody knows its name or whether it is disabled.
    """
    if patch.reported_version <= patch.removed_version:
        return None
    reported_at = _time(patch.reported_version)
    if patch.disabled:
        status, status_at = AccountStatus.DISABLED, reported_at
    else:
        status = AccountStatus.LOCKED if patch.locked else AccountStatus.ACTIVE
        status_at = _time(patch.locked_version)
    return Account(
        account_id=patch.account_id,
        email=patch.email,
        display_name=patch.display_name,
        status=status,
        two_factor_enabled=patch.two_factor_enabled,
        unused_backup_codes=patch.unused_backup_codes,
        locale=patch.locale,
        time_zone=patch.time_zone,
        reported_at=reported_at,
        status_at=status_at,
        two_factor_at=_time(patch.two_factor_version),
        backup_codes_at=_time(patch.backup_codes_version),
    )


def _time(version: str) -> datetime:
    time = time_of(version)
    assert time is not None, "a full report sets every register"
    return time


def match_of(accounts: list[Account]) -> tuple[Match, Account | None]:
    """Tell whether an address belongs to exactly one account, given those that have it."""
    if not accounts:
        return Match.NONE, None
    if len(accounts) > 1:
        return Match.AMBIGUOUS, None
    return Match.EXACT, accounts[0]
