"""The facts of contract section 6, each with its state: "none" and "unknown" are different answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.enrichment.domain.address_kind import in_words
from services.enrichment.domain.milestones import MilestoneKind
from services.enrichment.domain.origin import Origin
from services.enrichment.domain.snapshot import (
    EARLIER_REQUESTS,
    MOST_SHOWN,
    PAST_FAILURES,
    RECENT_SIGNINS,
    AccountSnapshot,
    Earlier,
    FailureCounts,
    SeenPlace,
)
from shared.schemas.enrichment import (
    AccountContext,
    AddressKind,
    EarlierRequest,
    EarlierRequests,
    Fact,
    FailedSignins,
    FailureCount,
    Location,
    LocationSeen,
    Network,
    NetworkSeen,
    RequestContext,
    SigninSeen,
    UsedBefore,
)
from shared.schemas.identity import AccountStatus, SigninFailure
from shared.schemas.intake import AssistanceRequestedData
from shared.schemas.values import Timestamp

PLATFORM = "identity platform"
RECOVERY = "recovery"
REQUESTS = "assistance requests"
GEOIP = "GeoIP database"

NO_SIGNIN_DATA = "no sign-in data received"
NO_ACCOUNT = "no account has this address"
SEVERAL_ACCOUNTS = "several accounts have this address"


def account_context(snapshot: AccountSnapshot) -> AccountContext:
    """Work out the facts about an account."""
    account = snapshot.account
    return AccountContext(
        account_exists=Fact[bool].known(True, as_of=account.reported_at, source=PLATFORM),
        status=Fact[AccountStatus].known(account.status, as_of=account.status_at, source=PLATFORM),
        two_factor_enabled=Fact[bool].known(account.two_factor_enabled, as_of=account.two_factor_at, source=PLATFORM),
        unused_backup_codes=Fact[int].known(
            account.unused_backup_codes, as_of=account.backup_codes_at, source=PLATFORM
        ),
        last_successful_signin=_last_signin(snapshot),
        signin_locations=_locations(snapshot),
        signin_networks=_networks(snapshot),
        failed_signins=_failed_signins(snapshot),
        access_email_last_sent=_sent(snapshot, MilestoneKind.ACCESS_EMAIL_SENT),
        recovery_code_last_sent=_sent(snapshot, MilestoneKind.CODE_SENT),
        two_factor_last_changed=_changed(snapshot, MilestoneKind.TWO_FACTOR_CHANGED),
        backup_codes_last_changed=_changed(snapshot, MilestoneKind.BACKUP_CODES_CHANGED),
        password_last_changed=_changed(snapshot, MilestoneKind.PASSWORD_CHANGED),
        email_last_changed=_changed(snapshot, MilestoneKind.EMAIL_CHANGED),
    )


def _last_signin(snapshot: AccountSnapshot) -> Fact[SigninSeen]:
    last = snapshot.milestones.get(MilestoneKind.SIGNIN)
    if last is not None:
        return Fact[SigninSeen].known(SigninSeen.model_validate(last.details), as_of=last.at, source=PLATFORM)
    if snapshot.first_signin_at is None:
        return Fact[SigninSeen].unknown(NO_SIGNIN_DATA, source=PLATFORM)
    return Fact[SigninSeen].none(since=snapshot.first_signin_at, source=PLATFORM)


def _locations(snapshot: AccountSnapshot) -> Fact[tuple[LocationSeen, ...]]:
    fact = Fact[tuple[LocationSeen, ...]]
    if snapshot.first_signin_at is None:
        return fact.unknown(NO_SIGNIN_DATA, source=PLATFORM)
    if snapshot.locations:
        seen = tuple(LocationSeen(label=s.label, count=s.count, last_at=s.last_at) for s in snapshot.locations)
        return fact.known(seen, as_of=seen[0].last_at, source=GEOIP)
    if snapshot.networks:
        return fact.unknown("no location is known for the addresses of the sign-ins", source=GEOIP)
    return fact.none(since=_window_start(snapshot, RECENT_SIGNINS), source=PLATFORM)


def _networks(snapshot: AccountSnapshot) -> Fact[tuple[NetworkSeen, ...]]:
    fact = Fact[tuple[NetworkSeen, ...]]
    if snapshot.first_signin_at is None:
        return fact.unknown(NO_SIGNIN_DATA, source=PLATFORM)
    if snapshot.networks:
        seen = tuple(_network_seen(network) for network in snapshot.networks)
        return fact.known(seen, as_of=seen[0].last_at, source=GEOIP)
    return fact.none(since=_window_start(snapshot, RECENT_SIGNINS), source=PLATFORM)


def _network_seen(seen: SeenPlace) -> NetworkSeen:
    asn = int(seen.key[2:]) if seen.key.startswith("AS") else None
    return NetworkSeen(label=seen.label, asn=asn, count=seen.count, last_at=seen.last_at)


def _failed_signins(snapshot: AccountSnapshot) -> Fact[FailedSignins]:
    failures = snapshot.failures
    if failures.last_30_days:
        return Fact[FailedSignins].known(_failed(failures), as_of=snapshot.as_of, source=PLATFORM)
    if snapshot.first_signin_at is None:
        return Fact[FailedSignins].unknown(NO_SIGNIN_DATA, source=PLATFORM)
    return Fact[FailedSignins].none(since=_window_start(snapshot, PAST_FAILURES), source=PLATFORM)


def _failed(failures: FailureCounts) -> FailedSignins:
    ordered = sorted(failures.by_failure.items(), key=lambda item: (-item[1], item[0]))
    return FailedSignins(
        last_24_hours=failures.last_24_hours,
        last_30_days=failures.last_30_days,
        by_failure=tuple(FailureCount(failure=SigninFailure(name), count=count) for name, count in ordered),
        last_at=failures.last_at,
    )


def _window_start(snapshot: AccountSnapshot, window: timedelta) -> datetime:
    assert snapshot.first_signin_at is not None
    return max(snapshot.first_signin_at, snapshot.as_of - window)


def _changed(snapshot: AccountSnapshot, kind: MilestoneKind) -> Fact[Timestamp]:
    if (last := snapshot.milestones.get(kind)) is not None:
        return Fact[Timestamp].known(last.at, as_of=last.at, source=PLATFORM)
    # A platform that reports no sign-ins may well report no changes either: nobody can say that there was none.
    if snapshot.first_signin_at is None:
        return Fact[Timestamp].unknown(NO_SIGNIN_DATA, source=PLATFORM)
    return Fact[Timestamp].none(since=snapshot.first_signin_at, source=PLATFORM)


def _sent(snapshot: AccountSnapshot, kind: MilestoneKind) -> Fact[Timestamp]:
    """Mails of our own recovery are known whether or not the platform reports anything."""
    if (last := snapshot.milestones.get(kind)) is not None:
        return Fact[Timestamp].known(last.at, as_of=last.at, source=RECOVERY)
    return Fact[Timestamp].none(since=snapshot.watching_since, source=RECOVERY)


def request_context(
    data: AssistanceRequestedData,
    origin: Origin,
    earlier: Sequence[Earlier],
    snapshot: AccountSnapshot | None,
    *,
    why_no_account: str = NO_ACCOUNT,
) -> RequestContext:
    """Work out the facts about a request and where it came from."""
    return RequestContext(
        email=data.email,
        email_hash=data.email_hash,
        issue=data.issue,
        requested_at=data.requested_at,
        submitted_by=data.actor,
        language=data.language,
        ip=data.ip,
        user_agent=data.user_agent,
        address_kind=origin.kind,
        location=_location(origin),
        network=_network(origin),
        ip_used_before=_used_before(snapshot, None if snapshot is None else snapshot.ip_used, why_no_account),
        network_used_before=_used_before(snapshot, None if snapshot is None else snapshot.network_used, why_no_account),
        earlier_requests=earlier_requests(data.requested_at, earlier),
        suppressed_before=data.suppressed_before,
    )


def _location(origin: Origin) -> Fact[Location]:
    if origin.location is not None:
        return Fact[Location].known(origin.location, source=GEOIP)
    return Fact[Location].unknown(_why(origin, origin.why_no_location), source=GEOIP)


def _network(origin: Origin) -> Fact[Network]:
    if origin.network is not None:
        return Fact[Network].known(origin.network, source=GEOIP)
    return Fact[Network].unknown(_why(origin, origin.why_no_network), source=GEOIP)


def _why(origin: Origin, why: str | None) -> str | None:
    return why if origin.kind is AddressKind.PUBLIC else in_words(origin.kind)


def _used_before(snapshot: AccountSnapshot | None, used: UsedBefore | None, why_no_account: str) -> Fact[UsedBefore]:
    if snapshot is None:
        return Fact[UsedBefore].unknown(why_no_account, source=PLATFORM)
    if snapshot.first_signin_at is None or used is None:
        return Fact[UsedBefore].unknown(NO_SIGNIN_DATA, source=PLATFORM)
    return Fact[UsedBefore].known(used, as_of=snapshot.as_of, source=PLATFORM)


def earlier_requests(at: datetime, earlier: Sequence[Earlier]) -> Fact[EarlierRequests]:
    """State the earlier requests, newest first; suppressed ones are requests too, and each has a reference."""
    if not earlier:
        return Fact[EarlierRequests].none(since=at - EARLIER_REQUESTS, source=REQUESTS)
    items = tuple(EarlierRequest(reference_id=item.reference_id, at=item.at) for item in earlier[:MOST_SHOWN])
    return Fact[EarlierRequests].known(EarlierRequests(count=len(earlier), items=items), as_of=at, source=REQUESTS)
