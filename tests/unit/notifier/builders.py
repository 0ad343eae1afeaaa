"""Requests, accounts and events for notifier's tests, with sane defaults."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from services.notifier.adapters.rendering import Sender
from shared.kit.clock import uuid7
from shared.schemas.enrichment import (
    AccountContext,
    AddressKind,
    AssistanceEnriched,
    AssistanceEnrichedData,
    Caution,
    CautionCode,
    EarlierRequest,
    EarlierRequests,
    Fact,
    FailedSignins,
    FailureCount,
    Location,
    LocationSeen,
    Match,
    Network,
    NetworkSeen,
    RequestContext,
    ResolvedAccount,
    SigninSeen,
    UsedBefore,
)
from shared.schemas.identity import (
    AccountData,
    AccountLocked,
    AccountLockedData,
    AccountRemoved,
    AccountRemovedData,
    AccountReported,
    AccountStatus,
    AccountUnlocked,
    AccountUnlockedData,
    EmailChanged,
    EmailChangedData,
    SigninFailure,
)
from shared.schemas.intake import Issue, SuppressedBefore
from shared.schemas.reference import generate
from shared.schemas.values import Timestamp

NOW = datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)
SINCE = datetime(2026, 8, 1, tzinfo=UTC)

SENDER = Sender(
    mail_from="Account recovery <recovery@example.org>",
    domain="example.org",
    organisation="Meridian Example",
    support_contact="helpdesk@example.org",
    recovery_url="https://recovery.example.org",
)


def a_reference() -> str:
    return generate(secrets.randbits)


def a_request(**changes: Any) -> RequestContext:
    values: dict[str, Any] = {
        "email": "dana@example.org",
        "email_hash": "0" * 32,
        "issue": Issue.LOST_2FA,
        "requested_at": NOW,
        "submitted_by": "anonymous",
        "ip": "9.8.7.6",
        "address_kind": AddressKind.PUBLIC,
        "location": Fact[Location].known(Location(city="Lisbon", country="Portugal", country_code="PT")),
        "network": Fact[Network].known(Network(asn=64500, name="Example Transit")),
        "ip_used_before": Fact[UsedBefore].known(UsedBefore(used=False)),
        "network_used_before": Fact[UsedBefore].known(UsedBefore(used=True, count=12, last_at=NOW - timedelta(days=2))),
        "earlier_requests": Fact[EarlierRequests].none(since=NOW - timedelta(days=30)),
    }
    return RequestContext(**values | changes)


def a_context(**changes: Any) -> AccountContext:
    moment = Fact[Timestamp]
    location = Location(city="Porto", country="Portugal", country_code="PT")
    network = Network(asn=64500, name="Example Transit")
    values: dict[str, Any] = {
        "account_exists": Fact[bool].known(True),
        "status": Fact[AccountStatus].known(AccountStatus.ACTIVE),
        "two_factor_enabled": Fact[bool].known(True),
        "unused_backup_codes": Fact[int].known(0),
        "last_successful_signin": Fact[SigninSeen].known(
            SigninSeen(
                at=NOW - timedelta(days=2), ip="9.8.7.5", location=location, network=network, method="password+totp"
            )
        ),
        "signin_locations": Fact[tuple[LocationSeen, ...]].known(
            (
                LocationSeen(label="Porto, Portugal", count=41, last_at=NOW - timedelta(days=2)),
                LocationSeen(label="Lisbon, Portugal", count=1, last_at=NOW - timedelta(days=20)),
            )
        ),
        "signin_networks": Fact[tuple[NetworkSeen, ...]].known(
            (
                NetworkSeen(label="AS64500 Example Transit", asn=64500, count=12, last_at=NOW - timedelta(days=2)),
                NetworkSeen(label="AS64511 Harbour Mobile", asn=64511, count=30, last_at=NOW - timedelta(days=3)),
            )
        ),
        "failed_signins": Fact[FailedSignins].known(
            FailedSignins(
                last_24_hours=3,
                last_30_days=5,
                by_failure=(
                    FailureCount(failure=SigninFailure.BAD_SECOND_FACTOR, count=3),
                    FailureCount(failure=SigninFailure.BAD_PASSWORD, count=2),
                ),
                last_at=NOW - timedelta(hours=1),
            )
        ),
        "access_email_last_sent": moment.none(since=SINCE),
        "recovery_code_last_sent": moment.known(NOW - timedelta(days=70)),
        "two_factor_last_changed": moment.known(NOW - timedelta(days=90)),
        "backup_codes_last_changed": moment.none(since=SINCE),
        "password_last_changed": moment.known(NOW - timedelta(days=30)),
        "email_last_changed": moment.none(since=SINCE),
    }
    return AccountContext(**values | changes)


NEW_LOCATION = Caution(
    code=CautionCode.NEW_LOCATION,
    text="New location: the request came from Lisbon, Portugal; successful sign-ins came only from Norway.",
    evidence={"location": "Lisbon, Portugal", "country_code": "PT", "before": "Norway"},
)
FAILED_SIGNINS = Caution(
    code=CautionCode.FAILED_SIGNINS,
    text="Failed sign-ins: 3 in the last 24 hours, 2 of them from the network of this request "
    "(AS64500 Example Transit).",
    evidence={"last_24_hours": 3, "from_network": 2, "network": "AS64500 Example Transit"},
)


def enriched(**changes: Any) -> AssistanceEnrichedData:
    """The data of a request that resolved to an account."""
    values: dict[str, Any] = {
        "reference_id": changes.get("reference_id") or a_reference(),
        "actor": "service:enrichment",
        "subject": "a-17",
        "match": Match.EXACT,
        "resolved": ResolvedAccount(
            account_id="a-17", display_name="Dana Example", email="dana@example.org", status=AccountStatus.ACTIVE
        ),
        "request": a_request(),
        "context": a_context(),
    }
    return AssistanceEnrichedData(**values | changes)


def unmatched(**changes: Any) -> AssistanceEnrichedData:
    """The data of a request for an address that no account has."""
    nothing = Fact[UsedBefore].unknown("no account has this address")
    request = a_request(ip_used_before=nothing, network_used_before=nothing)
    return enriched(
        **{"match": Match.NONE, "subject": None, "resolved": None, "context": None, "request": request} | changes
    )


def full_example() -> AssistanceEnrichedData:
    """The request of the golden message."""
    earlier = EarlierRequests(
        count=4, items=(EarlierRequest(reference_id="RA-0000-0000-0", at=NOW - timedelta(hours=3)),)
    )
    suppressed = SuppressedBefore(count=3, networks=("9.8.7.0/24", "198.51.100.7/32"), since=NOW - timedelta(hours=2))
    return enriched(
        reference_id="RA-7K2M-9QXT-5",
        request=a_request(earlier_requests=Fact[EarlierRequests].known(earlier), suppressed_before=suppressed),
        cautions=(NEW_LOCATION, FAILED_SIGNINS),
    )


def event_of(data: AssistanceEnrichedData) -> AssistanceEnriched:
    return AssistanceEnriched(
        id=uuid7(), source="/readmit/enrichment", time=datetime.now(UTC), subject=data.subject, data=data
    )


def reported(account_id: str, *, at: datetime | None = None, **changes: Any) -> AccountReported:
    """An account event: an active administrator of level 1 unless said otherwise."""
    values: dict[str, Any] = {
        "account_id": account_id,
        "email": f"{account_id}@example.org",
        "display_name": f"Admin {account_id}",
        "status": "active",
        "two_factor_enabled": True,
        "unused_backup_codes": 5,
        "data_protection_access": 1,
        "expert_mode": False,
    }
    return AccountReported(**_envelope(account_id, at), data=AccountData(**values | changes))


def removed(account_id: str, *, at: datetime | None = None) -> AccountRemoved:
    return AccountRemoved(**_envelope(account_id, at), data=AccountRemovedData(account_id=account_id))


def locked(account_id: str, *, at: datetime | None = None) -> AccountLocked:
    return AccountLocked(**_envelope(account_id, at), data=AccountLockedData(account_id=account_id))


def unlocked(account_id: str, *, at: datetime | None = None) -> AccountUnlocked:
    return AccountUnlocked(**_envelope(account_id, at), data=AccountUnlockedData(account_id=account_id))


def email_changed(account_id: str, new: str, *, at: datetime | None = None) -> EmailChanged:
    data = EmailChangedData(account_id=account_id, old="", new=new)
    return EmailChanged(**_envelope(account_id, at), data=data)


def _envelope(account_id: str, at: datetime | None) -> dict[str, Any]:
    return {"id": uuid7(), "source": "/test", "time": at or datetime.now(UTC), "subject": account_id}
