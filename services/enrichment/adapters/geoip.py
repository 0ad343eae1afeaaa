"""GeoIP from MaxMind-format files (GeoLite2, DB-IP), raw `maxminddb` records: six times as fast as the `geoip2` models.

A file that is missing or broken makes locations unknown and says why; it never stops the service.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import maxminddb

from services.enrichment.domain.address_kind import address_kind, network_prefix
from services.enrichment.domain.origin import Origin
from shared.kit.logging import get_logger
from shared.schemas.enrichment import AddressKind, Location, Network

log = get_logger(__name__)

NOT_FOUND = "not in the GeoIP database"
_CACHED = 8192  # sign-ins come from the same few addresses
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_READ_ERRORS = (OSError, ValueError, maxminddb.InvalidDatabaseError)


class GeoDatabase:
    """One database file, or the reason that there is none."""

    def __init__(self, path: Path | None, what: str, setting: str) -> None:
        self.problem: str | None = None
        self._what = what
        self._reader: maxminddb.Reader | None = None
        if path is None:
            self.problem = f"no GeoIP {what} database is configured ({setting})"
            return
        try:
            self._reader = maxminddb.open_database(path)
        except _READ_ERRORS as error:
            self.problem = f"the GeoIP {what} database can't be read ({type(error).__name__})"
            log.warning("geoip.unreadable", database=what, setting=setting, error=type(error).__name__)

    def find(self, ip: str) -> tuple[dict[str, Any], int] | None:
        """The record of an address and the length of its prefix; None where there is none."""
        if self._reader is None:
            return None
        try:
            record, length = self._reader.get_with_prefix_len(ip)
        except _READ_ERRORS as error:
            # The file opened and is broken further in; said once, by the health page from then on.
            if self.problem is None:
                log.warning("geoip.record_unreadable", database=self._what, error=type(error).__name__)
            self.problem = f"the GeoIP {self._what} database is corrupt ({type(error).__name__})"
            return None
        return (record, length) if isinstance(record, dict) else None

    async def check(self) -> str | None:
        """What is wrong, for the health page."""
        return self.problem


class GeoIp:
    """Where addresses are and who announces them."""

    def __init__(self, city: GeoDatabase, asn: GeoDatabase) -> None:
        self._city = city
        self._asn = asn
        self._cached = lru_cache(maxsize=_CACHED)(self._locate)

    def __call__(self, ip: str) -> Origin:
        return self._cached(ip)

    def _locate(self, ip: str) -> Origin:
        kind = address_kind(ip)
        if kind is not AddressKind.PUBLIC:
            return Origin(ip, kind, network_prefix(ip), None, None)
        place, network = self._city.find(ip), self._asn.find(ip)
        return Origin(
            ip=ip,
            kind=kind,
            prefix=network_prefix(ip),
            location=None if place is None else _location(place[0]),
            network=None if network is None else _network(ip, *network),
            why_no_location=self._city.problem or NOT_FOUND,
            why_no_network=self._asn.problem or NOT_FOUND,
        )


def _location(record: dict[str, Any]) -> Location | None:
    country = _member(record, "country") or _member(record, "registered_country")
    point = _member(record, "location")
    code = country.get("iso_code")
    location = Location(
        city=_name(_member(record, "city")),
        country=_name(country),
        country_code=code if isinstance(code, str) and re.fullmatch("[A-Z]{2}", code) else None,
        latitude=_within(point.get("latitude"), 90),
        longitude=_within(point.get("longitude"), 180),
        accuracy_km=_count(point.get("accuracy_radius")),
    )
    return location if location.country_code or location.country or location.latitude is not None else None


def _network(ip: str, record: dict[str, Any], length: int) -> Network | None:
    asn = _count(record.get("autonomous_system_number"))
    if asn is None:
        return None
    # An IPv4 address in an IPv6 tree: its prefix lies below ::/96.
    length = length - 96 if "." in ip and length > 32 else length
    return Network(
        asn=asn,
        name=_label(record.get("autonomous_system_organization")),
        prefix=str(ip_network(f"{ip}/{length}", strict=False)),
    )


def _member(record: dict[str, Any], name: str) -> dict[str, Any]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _name(record: dict[str, Any]) -> str | None:
    return _label(_member(record, "names").get("en"))


def _label(value: object) -> str | None:
    """A name as our events take it: a file from elsewhere may hold anything."""
    if not isinstance(value, str):
        return None
    return _CONTROL.sub(" ", value).strip()[:100] or None


def _within(value: object, bound: int) -> float | None:
    return float(value) if isinstance(value, int | float) and -bound <= value <= bound else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**31 else None
