"""Small MaxMind-format City and ASN databases, generated instead of downloaded: no licence, no network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.demo.geoip.networks import NETWORKS, Network

if TYPE_CHECKING:
    from mmdb_writer import MMDBWriter

# Raised with each change of the table or of the records' form, so that an existing folder gets the new files.
_VERSION = 1
# Fixed, so that the same table gives the same bytes: 2026-11-01T00:00:00Z.
_BUILD_EPOCH = 1793491200


def ensure(demo_dir: Path) -> tuple[Path, Path]:
    """Return the paths of the City and the ASN database in `demo_dir`, after making those that are missing."""
    folder = demo_dir / "geoip"
    city = folder / f"demo-city-{_VERSION}.mmdb"
    asn = folder / f"demo-asn-{_VERSION}.mmdb"
    if not (city.exists() and asn.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        _write(city, "GeoLite2-City", _city_record)
        _write(asn, "GeoLite2-ASN", _asn_record)
    return city, asn


def _city_record(network: Network) -> dict[str, Any]:
    place = network.place
    country = {
        "iso_code": place.country_code,
        "names": {"en": place.country, "de": place.country_de},
    }
    return {
        "city": {"names": {"en": place.city, "de": place.city_de}},
        "country": country,
        "registered_country": country,
        "location": {
            "latitude": place.latitude,
            "longitude": place.longitude,
            "accuracy_radius": place.accuracy_radius,
        },
    }


def _asn_record(network: Network) -> dict[str, Any]:
    return {
        "autonomous_system_number": network.asn,
        "autonomous_system_organization": network.organisation,
    }


def _writer(database_type: str) -> MMDBWriter:
    from mmdb_writer import MMDBWriter

    class ReproducibleWriter(MMDBWriter):
        def _build_meta(self) -> dict[str, Any]:
            return {**super()._build_meta(), "build_epoch": _BUILD_EPOCH}

    return ReproducibleWriter(
        ip_version=6,
        ipv4_compatible=True,
        database_type=database_type,
        languages=["en", "de"],
        description="Readmit demo: invented locations, not for real use",
        int_type="u32",
    )


def _write(path: Path, database_type: str, record: Any) -> None:
    from netaddr import IPSet  # type: ignore[import-untyped]

    writer = _writer(database_type)
    for network in NETWORKS.values():
        writer.insert_network(IPSet([network.cidr]), record(network))
    # A reader must never see half a file: `up` may start the services while another process still writes.
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    writer.to_db_file(str(unfinished))
    unfinished.replace(path)
