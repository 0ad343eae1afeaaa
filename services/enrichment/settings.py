"""The settings of enrichment."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from shared.kit.http.settings import AuthSettings
from shared.kit.settings import ServiceSettings


class EnrichmentSettings(ServiceSettings, AuthSettings):
    """What enrichment reads from its environment."""

    service: ClassVar[str] = "enrichment"

    geoip_city: Path | None = Field(
        None, description="MaxMind-format City database (GeoLite2, DB-IP); without it locations are unknown."
    )
    geoip_asn: Path | None = Field(
        None, description="MaxMind-format ASN database; without it networks are told apart by /24 and /48."
    )
