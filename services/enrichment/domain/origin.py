"""Where something came from: an address with what GeoIP says of it, and how far apart two places are."""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

from shared.schemas.enrichment import AddressKind, Location, Network

_EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG


@dataclass(frozen=True, slots=True)
class Origin:
    """An address and what is known about it."""

    ip: str
    kind: AddressKind
    prefix: str
    """Its /24 or /48."""
    location: Location | None
    network: Network | None
    """None where the AS is unknown."""
    why_no_location: str | None = None
    why_no_network: str | None = None

    @property
    def network_key(self) -> str:
        """What sign-ins from the same network have in common: the AS, else the /24 or /48."""
        return self.prefix if self.network is None else f"AS{self.network.asn}"

    @property
    def network_label(self) -> str:
        return self.prefix if self.network is None else network_label(self.network)


def network_label(network: Network) -> str:
    """Name a network as `AS64500 Example Networks`, or by its prefix where the AS is unknown."""
    if network.asn is None:
        return network.prefix or "unknown"
    return f"AS{network.asn} {network.name}" if network.name else f"AS{network.asn}"


def location_label(location: Location) -> str:
    """Name a place as `city, country`, as far as it is known."""
    return ", ".join(part for part in (location.city, location.country or location.country_code) if part) or "unknown"


def location_key(location: Location) -> str | None:
    """Give what sign-ins from the same place have in common, or None where not even the country is known."""
    if location.country_code is None:
        return None
    return f"{location.country_code}/{location.city or ''}"


def distance_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Give the great-circle distance of two (latitude, longitude) pairs in kilometres (haversine)."""
    latitude_a, latitude_b = radians(a[0]), radians(b[0])
    half_latitude = (latitude_b - latitude_a) / 2
    half_longitude = radians(b[1] - a[1]) / 2
    square = sin(half_latitude) ** 2 + cos(latitude_a) * cos(latitude_b) * sin(half_longitude) ** 2
    return 2 * _EARTH_RADIUS_KM * asin(min(1.0, sqrt(square)))
