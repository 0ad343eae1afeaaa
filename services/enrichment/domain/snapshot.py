"""What was read for one request or one page: plain values, from which facts and cautions are worked out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.enrichment.domain.accounts import Account
from services.enrichment.domain.milestones import Milestone, MilestoneKind
from shared.schemas.enrichment import UsedBefore

RECENT_SIGNINS = timedelta(days=90)
RECENT_FAILURES = timedelta(hours=24)
PAST_FAILURES = timedelta(days=30)
EARLIER_REQUESTS = timedelta(days=30)
MOST_SHOWN = 20
"""Items of a list: what one message can show, and the bound of the event's schema."""


@dataclass(frozen=True, slots=True)
class SeenPlace:
    """A place or a network that successful sign-ins of the window came from."""

    key: str
    label: str
    count: int
    last_at: datetime
    latitude: float | None = None
    longitude: float | None = None
    accuracy_km: int | None = None


@dataclass(frozen=True, slots=True)
class FailureCounts:
    """Failed sign-ins to an account."""

    last_24_hours: int = 0
    last_30_days: int = 0
    by_failure: Mapping[str, int] = field(default_factory=dict)
    """Of the last 30 days."""
    last_at: datetime | None = None
    from_network: int = 0
    """Of the last 24 hours, from the network that is asked about."""


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """All that is known of an account's security events, as far as somebody may ask."""

    account: Account
    as_of: datetime
    """The moment that windows are counted back from."""
    first_signin_at: datetime | None
    """The earliest sign-in event of anybody; None before any was received."""
    watching_since: datetime
    """Since when recovery's own events have been received."""
    milestones: Mapping[MilestoneKind, Milestone]
    locations: tuple[SeenPlace, ...]
    networks: tuple[SeenPlace, ...]
    countries: Mapping[str, str]
    """Of all successful sign-ins ever, code to name, most recent first."""
    failures: FailureCounts
    ip_used: UsedBefore | None = None
    network_used: UsedBefore | None = None
    """None where no address was asked about."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A request that came before this one, for the same address or account."""

    reference_id: str
    at: datetime
    suppressed: bool
    network: str
