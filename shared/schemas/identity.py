"""What the identity platform reports: the state of accounts, and what happens on them.

These are the only events that come from outside, so each member is checked as the input of a stranger.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from shared.schemas.envelope import D, Data, Event
from shared.schemas.values import (
    AccountId,
    Count,
    EmailAddress,
    EmailAddressOrEmpty,
    Flag,
    IpAddress,
    Label,
    Locale,
    Name,
    TimeZone,
    UserAgent,
)


class AccountStatus(StrEnum):
    """Whether the owner can sign in: `locked` is lifted by a new password, `disabled` is an administrator's word."""

    ACTIVE = "active"
    LOCKED = "locked"
    DISABLED = "disabled"


class SigninFailure(StrEnum):
    """Why a sign-in failed."""

    BAD_PASSWORD = "bad-password"  # noqa: S105
    BAD_SECOND_FACTOR = "bad-second-factor"
    LOCKED = "locked"
    DISABLED = "disabled"
    UNKNOWN_ACCOUNT = "unknown-account"
    OTHER = "other"


class TwoFactorChange(StrEnum):
    """What happened to the second factor."""

    ENROLLED = "enrolled"
    REMOVED = "removed"


class BackupCodesChange(StrEnum):
    """What happened to the backup codes."""

    GENERATED = "generated"
    USED = "used"


class AccountData(Data):
    """The full state of an account: what is absent here, the account doesn't have."""

    account_id: AccountId
    email: EmailAddressOrEmpty
    display_name: Name
    status: AccountStatus
    two_factor_enabled: Flag
    unused_backup_codes: Count
    data_protection_access: Count
    """A level, 0 is none."""
    expert_mode: Flag
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    notification_emails: Annotated[
        tuple[EmailAddress, ...], Field(max_length=20), BeforeValidator(lambda value: () if value is None else value)
    ] = ()
    """Where else the owner is told about their account."""


class AccountRemovedData(Data):
    """The account is gone."""

    account_id: AccountId


class SigninSucceededData(Data):
    """Somebody signed in."""

    account_id: AccountId
    ip: IpAddress
    user_agent: UserAgent | None = None
    method: Label | None = None


class SigninFailedData(Data):
    """Somebody tried to sign in, to an account or to an address that need not belong to one."""

    account_id: AccountId | None = None
    email: EmailAddress | None = None
    ip: IpAddress
    user_agent: UserAgent | None = None
    failure: SigninFailure

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if self.account_id is None and self.email is None:
            raise PydanticCustomError("account_id_or_email", "neither account_id nor email")
        return self


class AccountChangeData(Data):
    """Something about an account changed, from `ip` where that is known."""

    account_id: AccountId
    ip: IpAddress | None = None


class PasswordChangedData(AccountChangeData):
    """A new password was set."""


class EmailChangedData(AccountChangeData):
    """The registered address changed."""

    old: EmailAddressOrEmpty
    new: EmailAddressOrEmpty


class TwoFactorChangedData(AccountChangeData):
    """The second factor was enrolled or removed."""

    change: TwoFactorChange


class BackupCodesChangedData(AccountChangeData):
    """Backup codes were generated, or one of them used."""

    change: BackupCodesChange
    unused: Count
    """How many are left."""


class AccountLockedData(AccountChangeData):
    """The account was locked; never changes `disabled`."""


class AccountUnlockedData(AccountChangeData):
    """The lock was lifted; never changes `disabled`."""


class IdentityEvent(Event[D]):
    """An event of the identity platform; its `subject` is the account id."""

    @model_validator(mode="after")
    def _subject_is_the_account(self) -> Self:
        account_id: Any = getattr(self.data, "account_id", None)
        if self.subject is not None and account_id is not None and self.subject != account_id:
            raise PydanticCustomError("subject_mismatch", "subject is not data.account_id")
        return self


class AccountReported(IdentityEvent[AccountData]):
    """The account is as `data` says since `time`."""

    type: Literal["readmit.identity.account.v1"] = "readmit.identity.account.v1"


class AccountRemoved(IdentityEvent[AccountRemovedData]):
    """The account is unknown from `time` on, until a newer `AccountReported`."""

    type: Literal["readmit.identity.account-removed.v1"] = "readmit.identity.account-removed.v1"


class SigninSucceeded(IdentityEvent[SigninSucceededData]):
    """Somebody signed in."""

    type: Literal["readmit.identity.signin-succeeded.v1"] = "readmit.identity.signin-succeeded.v1"


class SigninFailed(IdentityEvent[SigninFailedData]):
    """Somebody failed to sign in."""

    type: Literal["readmit.identity.signin-failed.v1"] = "readmit.identity.signin-failed.v1"


class PasswordChanged(IdentityEvent[PasswordChangedData]):
    """A new password was set; the one change that says nothing about the account's state."""

    type: Literal["readmit.identity.password-changed.v1"] = "readmit.identity.password-changed.v1"


class EmailChanged(IdentityEvent[EmailChangedData]):
    """The registered address changed."""

    type: Literal["readmit.identity.email-changed.v1"] = "readmit.identity.email-changed.v1"


class TwoFactorChanged(IdentityEvent[TwoFactorChangedData]):
    """The second factor was enrolled or removed."""

    type: Literal["readmit.identity.two-factor-changed.v1"] = "readmit.identity.two-factor-changed.v1"


class BackupCodesChanged(IdentityEvent[BackupCodesChangedData]):
    """Backup codes were generated or used."""

    type: Literal["readmit.identity.backup-codes-changed.v1"] = "readmit.identity.backup-codes-changed.v1"


class AccountLocked(IdentityEvent[AccountLockedData]):
    """The account was locked."""

    type: Literal["readmit.identity.locked.v1"] = "readmit.identity.locked.v1"


class AccountUnlocked(IdentityEvent[AccountUnlockedData]):
    """The lock was lifted."""

    type: Literal["readmit.identity.unlocked.v1"] = "readmit.identity.unlocked.v1"


EVENTS = (
    AccountReported,
    AccountRemoved,
    SigninSucceeded,
    SigninFailed,
    PasswordChanged,
    EmailChanged,
    TwoFactorChanged,
    BackupCodesChanged,
    AccountLocked,
    AccountUnlocked,
)
