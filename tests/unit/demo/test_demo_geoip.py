"""The generated GeoIP databases, read by the library that the services use."""

from __future__ import annotations

import ipaddress
import json
from itertools import pairwise
from pathlib import Path

import geoip2.database
import geoip2.errors
import pytest

from deploy.demo import geoip
from deploy.demo.geoip.networks import NETWORKS
from deploy.demo.seed import HISTORY


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return geoip.ensure(tmp_path_factory.mktemp("geoip"))


def test_cities_and_networks_are_found(databases: tuple[Path, Path]) -> None:
    with geoip2.database.Reader(databases[0], ["en"]) as cities, geoip2.database.Reader(databases[1]) as networks:
        city = cities.city("81.130.64.9")
        assert (city.city.name, city.country.iso_code, city.country.name) == ("London", "GB", "United Kingdom")
        assert city.location.latitude == pytest.approx(51.5074)
        assert city.location.accuracy_radius == 20
        network = networks.asn("2a01:4c80::5")
        assert network.autonomous_system_number == 64630
        assert network.autonomous_system_organization == "Beacon Mobile"


def test_german_names(databases: tuple[Path, Path]) -> None:
    with geoip2.database.Reader(databases[0], ["de"]) as cities:
        assert cities.city("5.147.0.1").city.name == "München"


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "198.51.100.7", "203.0.113.9", "2001:db8::1", "10.0.0.1", "127.0.0.1", "100.64.0.1"]
)
def test_special_addresses_are_nowhere(databases: tuple[Path, Path], address: str) -> None:
    with geoip2.database.Reader(databases[0]) as cities, pytest.raises(geoip2.errors.AddressNotFoundError):
        cities.city(address)


def test_every_address_of_the_history_is_located(databases: tuple[Path, Path]) -> None:
    addresses = {json.loads(line)["data"].get("ip") for line in HISTORY.read_text(encoding="utf-8").splitlines()}
    with geoip2.database.Reader(databases[0]) as cities, geoip2.database.Reader(databases[1]) as networks:
        for address in addresses - {None}:
            assert cities.city(address).city.name
            assert networks.asn(address).autonomous_system_number


def test_ranges_are_public_and_apart() -> None:
    ranges = [ipaddress.ip_network(network.cidr) for network in NETWORKS.values()]
    assert all(item.is_global for item in ranges)
    for version in (4, 6):
        ordered = sorted(item for item in ranges if item.version == version)
        for before, after in pairwise(ordered):
            assert not before.overlaps(after)


def test_same_table_same_bytes(databases: tuple[Path, Path], tmp_path: Path) -> None:
    again = geoip.ensure(tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in databases]
