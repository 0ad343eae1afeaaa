"""What the demo is made of, printed as JSON: run as a process of its own, whose imports end with it."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.environment import GEOIP_ASN, GEOIP_CITY


def link_geoip(folder: Path) -> None:
    """Make the GeoIP files in `folder`, under names that stay the same from one version of them to the next."""
    from deploy.demo import geoip

    for name, file in zip((GEOIP_CITY, GEOIP_ASN), geoip.ensure(folder), strict=True):
        link = folder / f".{name}.new"
        link.unlink(missing_ok=True)
        link.symlink_to(file)
        link.replace(folder / name)


def main(folder: str, issuer: str) -> None:
    """Make the GeoIP files and the platform's keys and accounts in `folder`, and print who can do what."""
    from deploy.demo import identity, seed

    demo = Path(folder)
    link_geoip(demo)
    tokens, people = identity.credentials(demo, issuer)
    json.dump({"tokens": tokens, "people": people, "seed": str(seed.path(demo, datetime.now(UTC)))}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
