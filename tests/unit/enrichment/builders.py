"""Events with sane defaults; a test names what it is about."""

from __future__ import annotations

import random
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.kit.addresses import AddressHasher
from shared.kit.settings import KeyRing
from shared.schemas import recovery
from shared.schemas.identity import (
    AccountData,
    AccountLocked,
    AccountLockedData,
    AccountRemoved,
    AccountRemovedData,
    AccountReported,
    AccountUnlocked,
    AccountUnlockedData,
    BackupCodesChanged,
    BackupCodesChangedData,
    EmailChanged,
    EmailChangedData,
    PasswordChanged,
    PasswordChangedData,
    SigninFailed,
    SigninFailedData,
    SigninSucceeded,
    SigninSucceededData,
    TwoFactorChanged,
    TwoFactorChangedData,
)
from shared.schemas.intake import (
    AssistanceRequested,
    AssistanceRequestedData,
    AssistanceSuppressed,
    AssistanceSuppressedData,
)
from shared.schemas.reference import generate

HASHER = AddressHasher(KeyRing((b"k" * 32,)))
NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)

# Of the demo's GeoIP table.
BERLIN, BERLIN_TOO, BERLIN_MOBILE = "5.146.0.9", "5.146.7.3", "2a01:5980::9"
MUNICH, LONDON, TOKYO, AMSTERDAM = "5.147.0.9", "81.157.0.9", "203.136.0.9", "5.79.64.9"
NOWHERE = "9.9.9.9"
"""A public address that the demo's GeoIP doesn't hold."""


def new_id() -> str:
    return str(uuid.uuid4())


def a_name(prefix: str = "person") -> str:
    """A unique account id."""
    return f"{prefix}-{secrets.token_hex(4)}"


def _envelope(at: datetime, event_id: str | None, subject: str | None = None) -> dict[str, Any]:
    return {"id": event_id or new_id(), "source": "/identity", "time": at, "subject": subject}


def an_account(account_id: str, at: datetime = NOW, *, id: str | None = None, **changes: Any) -> AccountReported:  # noqa: A002
    values: dict[str, Any] = {
        "account_id": account_id,
        "email": f"{account_id}@example.org",
        "display_name": "Person One",
        "status": "active",
        "two_factor_enabled": True,
        "unused_backup_codes": 4,
        "data_protection_access": 0,
        "expert_mode": False,
    } | changes
    return AccountReported(**_envelope(at, id, account_id), data=AccountData(**values))


def removed(account_id: str, at: datetime = NOW, *, id: str | None = None) -> AccountRemoved:  # noqa: A002
    return AccountRemoved(**_envelope(at, id, account_id), data=AccountRemovedData(account_id=account_id))


def signed_in(
    account_id: str,
    at: datetime = NOW,
    ip: str = BERLIN,
    *,
    id: str | None = None,  # noqa: A002
) -> SigninSucceeded:
    data = SigninSucceededData(account_id=account_id, ip=ip, method="totp")
    return SigninSucceeded(**_envelope(at, id, account_id), data=data)


def failed(
    account_id: str | None,
    at: datetime = NOW,
    ip: str = BERLIN,
    failure: str = "bad-password",
    *,
    email: str | None = None,
    id: str | None = None,  # noqa: A002
) -> SigninFailed:
    data = SigninFailedData(account_id=account_id, email=email, ip=ip, failure=failure)
    return SigninFailed(**_envelope(at, id, account_id), data=data)


def password_changed(account_id: str, at: datetime = NOW, *, id: str | None = None) -> PasswordChanged:  # noqa: A002
    return PasswordChanged(**_envelope(at, id, account_id), data=PasswordChangedData(account_id=account_id, ip=BERLIN))


def email_changed(account_id: str, old: str, new: str, at: datetime = NOW, *, id: str | None = None) -> EmailChanged:  # noqa: A002
    return EmailChanged(
        **_envelope(at, id, account_id), data=EmailChangedData(account_id=account_id, old=old, new=new, ip=BERLIN)
    )


def two_factor_changed(
    account_id: str,
    change: str,
    at: datetime = NOW,
    *,
    id: str | None = None,  # noqa: A002
) -> TwoFactorChanged:
    data = TwoFactorChangedData(account_id=account_id, change=change)
    return TwoFactorChanged(**_envelope(at, id, account_id), data=data)


def backup_codes_changed(
    account_id: str,
    change: str,
    unused: int,
    at: datetime = NOW,
    *,
    id: str | None = None,  # noqa: A002
) -> BackupCodesChanged:
    data = BackupCodesChangedData(account_id=account_id, change=change, unused=unused)
    return BackupCodesChanged(**_envelope(at, id, account_id), data=data)


def locked(account_id: str, at: datetime = NOW, *, id: str | None = None) -> AccountLocked:  # noqa: A002
    return AccountLocked(**_envelope(at, id, account_id), data=AccountLockedData(account_id=account_id))


def unlocked(account_id: str, at: datetime = NOW, *, id: str | None = None) -> AccountUnlocked:  # noqa: A002
    return AccountUnlocked(**_envelope(at, id, account_id), data=AccountUnlockedData(account_id=account_id))


def access_email_sent(account_id: str, at: datetime = NOW) -> recovery.AccessEmailSent:
    data = recovery.AccessEmailSentData(actor="admin-1", subject=account_id, action_id=new_id())
    return recovery.AccessEmailSent(**_envelope(at, None, account_id), data=data)


def code_sent(account_id: str, at: datetime = NOW) -> recovery.CodeSent:
    data = recovery.CodeSentData(actor="admin-1", subject=account_id, action_id=new_id())
    return recovery.CodeSent(**_envelope(at, None, account_id), data=data)


def _request_data(email: str, at: datetime, ip: str) -> dict[str, Any]:
    return {
        "reference_id": generate(random.SystemRandom().getrandbits),
        "actor": "anonymous",
        "email": email,
        "email_hash": HASHER(email),
        "issue": "lost-2fa",
        "requested_at": at,
        "ip": ip,
        "user_agent": "Firefox",
        "language": "en",
    }


def asked(email: str, at: datetime = NOW, ip: str = BERLIN, **changes: Any) -> AssistanceRequested:
    data = AssistanceRequestedData(**(_request_data(email, at, ip) | changes))
    return AssistanceRequested(**_envelope(at, None), data=data)


def suppressed(email: str, at: datetime = NOW, ip: str = BERLIN) -> AssistanceSuppressed:
    data = AssistanceSuppressedData(**_request_data(email, at, ip), reason="address-limit")
    return AssistanceSuppressed(**_envelope(at, None), data=data)


def before(now: datetime = NOW, **span: float) -> datetime:
    """A moment so long before."""
    return now - timedelta(**span)
