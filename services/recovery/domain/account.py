"""What recovery knows of an account, put together from events in any order.

An account is a handful of registers. Each is set by some types of events, and the newest event by (time, id) wins, so
that every order of arrival, and every repetition, ends in the same account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.kit.addresses import InvalidAddress, normalise_address, parse_address
from shared.schemas.envelope import Event
from shared.schemas.identity import (
    AccountLocked,
    AccountRemoved,
    AccountReported,
    AccountStatus,
    AccountUnlocked,
    BackupCodesChanged,
    EmailChanged,
    PasswordChanged,
    SigninSucceeded,
    TwoFactorChange,
    TwoFactorChanged,
)


@dataclass(frozen=True, slots=True)
class Account:
    """A known account as it is now."""

    account_id: str
    email: str
    display_name: str
    status: AccountStatus
    two_factor_enabled: bool
    unused_backup_codes: int
    data_protection_access: int
    expert_mode: bool
    locale: str | None = None
    time_zone: str | None = None
    notification_emails: tuple[str, ...] = ()
    ended_at: datetime | None = None
    """When its owner last showed that they are in, or its address changed: what was issued before is over."""
    ended_by: str | None = None

    @property
    def deliverable(self) -> bool:
        """Whether a mail can be sent to its registered address."""
        try:
            return parse_address(self.email) != ""
        except InvalidAddress:
            return False

    @property
    def owner_addresses(self) -> tuple[str, ...]:
        """Every address at which the owner is told what happens, the registered one first, each once."""
        addresses: dict[str, str] = {}
        for address in (self.email, *self.notification_emails):
            try:
                addresses.setdefault(normalise_address(parse_address(address)), address)
            except InvalidAddress:
                continue
        return tuple(addresses.values())


@dataclass(frozen=True, slots=True)
class Register:
    """The value of a register, with the event that set it."""

    at: datetime
    event_id: str
    values: Mapping[str, Any]

    def newer_than(self, other: Register | None) -> bool:
        return other is None or (self.at, self.event_id) > (other.at, other.event_id)


Registers = dict[str, Register]

ENDED_BY_SIGNIN, ENDED_BY_PASSWORD, ENDED_BY_EMAIL = "signed-in", "password-changed", "email-changed"


HashAddress = Callable[[str], str]


def registers_of(event: Event[Any], hash_address: HashAddress) -> dict[str, dict[str, Any]]:
    """The registers that an event sets, and to what."""
    match event:
        case AccountReported(data=data):
            return {
                "state": {
                    "display_name": data.display_name,
                    "reported_status": data.status.value,
                    "data_protection_access": data.data_protection_access,
                    "expert_mode": data.expert_mode,
                    "locale": data.locale,
                    "time_zone": data.time_zone,
                    "notification_emails": list(data.notification_emails),
                },
                "email": _address(data.email, hash_address),
                "two_factor": {"two_factor_enabled": data.two_factor_enabled},
                "backup": {"unused_backup_codes": data.unused_backup_codes},
            }
        case AccountRemoved():
            return {"removed": {}}
        case EmailChanged(data=data):
            return {"email": _address(data.new, hash_address), "ended": {"ended_by": ENDED_BY_EMAIL}}
        case TwoFactorChanged(data=data):
            return {"two_factor": {"two_factor_enabled": data.change is TwoFactorChange.ENROLLED}}
        case BackupCodesChanged(data=data):
            return {"backup": {"unused_backup_codes": data.unused}}
        case AccountLocked():
            # A register of its own: `disabled` is in the reported state, and no lock or unlock reaches it.
            return {"lock": {"locked": True}}
        case AccountUnlocked():
            return {"lock": {"locked": False}}
        case PasswordChanged():
            return {"ended": {"ended_by": ENDED_BY_PASSWORD}}
        case SigninSucceeded():
            return {"ended": {"ended_by": ENDED_BY_SIGNIN}}
    return {}


def _address(email: str, hash_address: HashAddress) -> dict[str, Any]:
    if not email:
        return {"email": "", "email_key": "", "email_hash": ""}
    return {"email": email, "email_key": normalise_address(email), "email_hash": hash_address(email)}


def fold(events: Iterable[Event[Any]], hash_address: HashAddress) -> dict[str, Registers]:
    """The newest value of each register that the events set, by account."""
    accounts: dict[str, Registers] = {}
    for event in events:
        account_id = getattr(event.data, "account_id", None)
        if account_id is None:
            continue
        for name, values in registers_of(event, hash_address).items():
            registers = accounts.setdefault(account_id, {})
            register = Register(event.time, event.id, values)
            if register.newer_than(registers.get(name)):
                registers[name] = register
    return accounts
