"""Sign-ins as sums: what enrichment reads stays the same size however many there were.

Sums, least and greatest commute, and the inbox lets each event in once: any order ends in the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from services.enrichment.domain.address_kind import in_words
from services.enrichment.domain.origin import Origin, location_key, location_label
from services.enrichment.domain.versions import version_of
from shared.schemas.enrichment import AddressKind, SigninSeen
from shared.schemas.envelope import Event
from shared.schemas.identity import SigninFailed, SigninSucceeded

Locate = Callable[[str], Origin]
HashAddress = Callable[[str], str]


class SeenKind(StrEnum):
    """What successful sign-ins are counted by."""

    IP = "ip"
    PREFIX = "prefix"
    NETWORK = "network"
    """The AS, or the prefix where the AS is unknown."""
    LOCATION = "location"
    COUNTRY = "country"


# Only these are shown with counts of a window of days; the others answer "ever, and when last".
DAILY = frozenset({SeenKind.NETWORK, SeenKind.LOCATION})

ANY_NETWORK = ""
"""In the counts of failures: those from everywhere."""


def account_key(account_id: str) -> str:
    """Give what failures are counted under that named an account."""
    return f"account:{account_id}"


def address_key(address_hash: str) -> str:
    """Give what failures are counted under that named an address only; whose it is is asked when it is read."""
    return f"address:{address_hash}"


@dataclass(slots=True)
class Seen:
    """Successful sign-ins of an account that have one thing in common."""

    label: str
    count: int
    first_at: datetime
    last_at: datetime
    version: str
    latitude: float | None = None
    longitude: float | None = None
    accuracy_km: int | None = None

    def add(self, other: Seen) -> None:
        self.count += other.count
        self.first_at = min(self.first_at, other.first_at)
        self.last_at = max(self.last_at, other.last_at)
        if other.version > self.version:
            self.version, self.label = other.version, other.label
            self.latitude, self.longitude = other.latitude, other.longitude
            self.accuracy_km = other.accuracy_km


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed sign-in."""

    key: str
    at: datetime
    failure: str
    network: str


@dataclass(slots=True)
class SigninSums:
    """What some sign-ins add up to."""

    seen: dict[tuple[str, str, str], Seen] = field(default_factory=dict)
    """By (account, kind, key)."""
    days: Counter[tuple[str, str, str, date]] = field(default_factory=Counter)
    last: dict[str, tuple[str, SigninSeen]] = field(default_factory=dict)
    """By account: version and the sign-in."""
    failures: list[Failure] = field(default_factory=list)
    first_at: datetime | None = None
    """The earliest sign-in of anybody, failed ones included."""

    def add(self, event: SigninSucceeded | SigninFailed, locate: Locate, hash_address: HashAddress) -> None:
        self.first_at = event.time if self.first_at is None else min(self.first_at, event.time)
        origin = locate(event.data.ip)
        if isinstance(event, SigninSucceeded):
            self._add_success(event, origin)
            return
        data = event.data
        key = address_key(hash_address(data.email or "")) if data.account_id is None else account_key(data.account_id)
        self.failures.append(Failure(key, event.time, data.failure, origin.network_key))

    def _add_success(self, event: SigninSucceeded, origin: Origin) -> None:
        account_id, version = event.data.account_id, version_of(event.time, event.id)
        for kind, key, one in _seen_of(event, origin, version):
            place = (account_id, kind.value, key)
            if place in self.seen:
                self.seen[place].add(one)
            else:
                self.seen[place] = one
            if kind in DAILY:
                self.days[(*place, event.time.astimezone(UTC).date())] += 1
        if account_id not in self.last or version > self.last[account_id][0]:
            seen = SigninSeen(
                at=event.time,
                ip=event.data.ip,
                location=origin.location,
                network=origin.network,
                method=event.data.method,
            )
            self.last[account_id] = (version, seen)


def _seen_of(event: SigninSucceeded, origin: Origin, version: str) -> Iterable[tuple[SeenKind, str, Seen]]:
    def one(label: str) -> Seen:
        return Seen(label, 1, event.time, event.time, version)

    yield SeenKind.IP, origin.ip, one(origin.ip)
    yield SeenKind.PREFIX, origin.prefix, one(origin.prefix)
    yield SeenKind.NETWORK, origin.network_key, one(origin.network_label)
    location = origin.location
    if origin.kind is not AddressKind.PUBLIC:
        yield SeenKind.LOCATION, f"-/{origin.kind}", one(in_words(origin.kind))
    if location is None or (key := location_key(location)) is None:
        return
    place = one(location_label(location))
    place.latitude, place.longitude, place.accuracy_km = location.latitude, location.longitude, location.accuracy_km
    yield SeenKind.LOCATION, key, place
    assert location.country_code is not None
    yield SeenKind.COUNTRY, location.country_code, one(location.country or location.country_code)


def sums(events: Iterable[Event[Any]], locate: Locate, hash_address: HashAddress) -> SigninSums:
    """Add up the sign-ins among the events."""
    result = SigninSums()
    for event in events:
        if isinstance(event, SigninSucceeded | SigninFailed):
            result.add(event, locate, hash_address)
    return result
