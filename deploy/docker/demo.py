"""The demo in containers: `python -m deploy.docker.demo prepare | seed | facts`.

`prepare` makes what the services read of the demo (the keys of its tokens, GeoIP files) in a folder of their own, apart
from the platform's private data; `seed` posts the organisation's history once; `facts` prints tokens and people, which
`readmit up --demo` puts into `ready.json`. All three are done with the demo's settings and can be repeated.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from deploy.demo.pages import environment_value
from deploy.local.demo_facts import link_geoip
from deploy.local.secrets import write_private


def prepare(private: Path, issuer: str) -> None:
    """The platform's keys, accounts and history in `private`; what is meant for the services in READMIT_DEMO_PUBLIC."""
    from deploy.demo import identity, seed
    from deploy.demo.identity.tokens import Signer

    public = Path(environment_value("READMIT_DEMO_PUBLIC"))
    link_geoip(public)
    identity.credentials(private, issuer)
    seed.path(private, datetime.now(UTC))
    write_private(public / "jwks.json", json.dumps(Signer(private, issuer).public_keys()))
    print(f"prepared {private} and {public}")


def seed_history(private: Path, issuer: str) -> None:
    """Post the history to intake, unless that was done."""
    from deploy.commands.import_events import import_events
    from deploy.demo import identity, seed

    marker = private / "imported"
    if marker.exists():
        print("the history was imported before")
        return
    tokens, _ = identity.credentials(private, issuer)
    import_events(
        seed.path(private, datetime.now(UTC)),
        url=environment_value("READMIT_DEMO_INTAKE_URL"),
        token=tokens["platform"],
        state=private / "import-state.json",
    )
    marker.touch()


def facts(private: Path, issuer: str) -> None:
    """Tokens that last eight hours, and the people with their passwords, as JSON."""
    from deploy.demo import identity

    tokens, people = identity.credentials(private, issuer)
    json.dump({"tokens": tokens, "people": people}, sys.stdout, indent=2)
    print()


_STEPS = {"prepare": prepare, "seed": seed_history, "facts": facts}


def main(arguments: list[str]) -> None:
    if len(arguments) != 1 or arguments[0] not in _STEPS:
        raise SystemExit(f"usage: python -m deploy.docker.demo {' | '.join(_STEPS)}")
    os.umask(0o077)
    _STEPS[arguments[0]](Path(environment_value("READMIT_DEMO_DIR")), environment_value("READMIT_DEMO_PUBLIC_URL"))


if __name__ == "__main__":
    main(sys.argv[1:])
