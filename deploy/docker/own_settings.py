"""Refuses to start the profile `core` with the demo's addresses: `python -m deploy.docker.own_settings`.

Without one's own settings everything would start, and ask an identity platform that isn't there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from deploy.errors import USAGE, CommandError
from deploy.local.overrides import Overrides, variable

_URLS = (
    "AUTH_ISSUER", "PUBLIC_INTAKE_URL", "PUBLIC_RECOVERY_URL", "PUBLIC_AUDIT_URL", "SIGNIN_URL",
    "IDENTITY_CONTINUE_URL", "IDENTITY_AUDIENCE", "SMTP_URL",
)  # fmt: skip


def main(environ: Mapping[str, str]) -> int:
    """Print what is still the demo's; the exit code."""
    try:
        found = list(_demo_values(Overrides(environ)))
    except CommandError as error:
        found = [str(error)]
    for line in found:
        print(line, file=sys.stderr)
    return USAGE if found else 0


def _demo_values(settings: Overrides) -> Iterator[str]:
    for name in _URLS:
        host = urlsplit(settings.value(name) or "").hostname or ""
        if host.endswith(".localhost") or host == "mailpit":
            where = "deploy/docker/secrets/smtp_url" if name == "SMTP_URL" else "deploy/docker/settings.env"
            yield f"{variable(name)} is still the demo's: set your own in {where}, see docs/compose.md"
    if (settings.value("AUTH_JWKS") or "").startswith("/var/lib/readmit/public/"):
        yield "READMIT_AUTH_JWKS is still the demo's: set your own in deploy/docker/settings.env, see docs/compose.md"


if __name__ == "__main__":
    sys.exit(main(os.environ))
