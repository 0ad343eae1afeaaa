"""GeoIP files as they are, are not, and should not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.demo.geoip import ensure
from services.enrichment.adapters.geoip import GeoDatabase, GeoIp, _location, _network
from shared.schemas.enrichment import AddressKind, Location, Network
from tests.unit.enrichment.builders import BERLIN, BERLIN_MOBILE, NOWHERE


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return ensure(tmp_path_factory.mktemp("geoip"))


def geoip(city: Path | None, asn: Path | None) -> GeoIp:
    return GeoIp(GeoDatabase(city, "City", "READMIT_GEOIP_CITY"), GeoDatabase(asn, "ASN", "READMIT_GEOIP_ASN"))


def test_place_and_network(files: tuple[Path, Path]) -> None:
    origin = geoip(*files)(BERLIN)
    assert origin.location == Location(
        city="Berlin", country="Germany", country_code="DE", latitude=52.52, longitude=13.405, accuracy_km=20
    )
    assert origin.network == Network(asn=64611, name="Spree Breitband", prefix="5.146.0.0/18")
    assert (origin.network_key, origin.network_label) == ("AS64611", "AS64611 Spree Breitband")


def test_ipv6(files: tuple[Path, Path]) -> None:
    origin = geoip(*files)(BERLIN_MOBILE)
    assert origin.network is not None
    assert origin.network.prefix == "2a01:5980::/32"
    assert origin.prefix == "2a01:5980::/48"


def test_an_address_that_the_files_do_not_hold(files: tuple[Path, Path]) -> None:
    origin = geoip(*files)(NOWHERE)
    assert (origin.location, origin.why_no_location) == (None, "not in the GeoIP database")
    assert (origin.network_key, origin.network_label) == ("9.9.9.0/24", "9.9.9.0/24")


@pytest.mark.parametrize("ip", ["10.1.2.3", "127.0.0.1", "100.64.0.1", "203.0.113.9", "::1", "fe80::1"])
def test_special_addresses_have_no_place(files: tuple[Path, Path], ip: str) -> None:
    origin = geoip(*files)(ip)
    assert origin.kind is not AddressKind.PUBLIC
    assert (origin.location, origin.network) == (None, None)


def test_without_files_everything_is_unknown_and_says_why() -> None:
    origin = geoip(None, None)(BERLIN)
    assert (origin.location, origin.network) == (None, None)
    assert origin.why_no_location == "no GeoIP City database is configured (READMIT_GEOIP_CITY)"
    assert origin.why_no_network == "no GeoIP ASN database is configured (READMIT_GEOIP_ASN)"


@pytest.mark.parametrize("content", [b"", b"not a database", bytes(range(256)) * 512])
async def test_a_broken_file_is_reported_and_stops_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "city.mmdb"
    path.write_bytes(content)
    database = GeoDatabase(path, "City", "READMIT_GEOIP_CITY")
    assert database.find(BERLIN) is None
    assert "can't be read" in (await database.check() or "")


async def test_a_missing_file_or_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mmdb", tmp_path):
        database = GeoDatabase(path, "City", "READMIT_GEOIP_CITY")
        assert database.find(BERLIN) is None
        assert await database.check()


async def test_a_file_that_is_broken_further_in(files: tuple[Path, Path], tmp_path: Path) -> None:
    content = bytearray(files[0].read_bytes())
    metadata = content.rindex(b"\xab\xcd\xefMaxMind.com")
    content[metadata // 3 : metadata] = b"\xff" * (metadata - metadata // 3)
    path = tmp_path / "city.mmdb"
    path.write_bytes(content)
    database = GeoDatabase(path, "City", "READMIT_GEOIP_CITY")
    assert database.find(BERLIN) is None
    assert await database.check()


@pytest.mark.parametrize(
    ("record", "location"),
    [
        ({}, None),
        ({"country": "DE", "city": None}, None),
        ({"registered_country": {"iso_code": "DE", "names": {"en": "Germany"}}}, ("DE", "Germany", None)),
        ({"country": {"iso_code": "de1", "names": {"en": "Ger\x00many"}}}, (None, "Ger many", None)),
        ({"country": {"iso_code": "DE"}, "location": {"latitude": 91, "longitude": 3}}, ("DE", None, None)),
    ],
)
def test_odd_records(record: dict[str, Any], location: tuple[str | None, str | None, float | None] | None) -> None:
    found = _location(record)
    assert (found and (found.country_code, found.country, found.latitude)) == location


def test_odd_network_records() -> None:
    assert _network(BERLIN, {"autonomous_system_organization": "No number"}, 24) is None
    network = _network(BERLIN, {"autonomous_system_number": 7}, 96 + 24)
    assert network == Network(asn=7, name=None, prefix="5.146.0.0/24")
