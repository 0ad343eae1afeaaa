"""The platform's settings, from the environment only."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from deploy.demo.pages import environment_value


@dataclass(frozen=True)
class Settings:
    """URLs have no slash at their end."""

    demo_dir: Path
    port: int
    public_url: str
    intake_url: str
    recovery_url: str
    audit_url: str
    audience: str
    client_id: str
    client_secret: str = field(repr=False)

    @property
    def redirect_uris(self) -> frozenset[str]:
        """Where the sign-in may send people back to: exact addresses, no patterns."""
        return frozenset(f"{url}/signin/callback" for url in (self.intake_url, self.recovery_url, self.audit_url))

    @classmethod
    def from_environment(cls) -> Settings:
        """Raises SystemExit with a line that names what is missing."""
        return cls(
            demo_dir=Path(environment_value("READMIT_DEMO_DIR")),
            port=int(environment_value("READMIT_DEMO_IDENTITY_PORT")),
            public_url=_url("READMIT_DEMO_PUBLIC_URL"),
            intake_url=_url("READMIT_DEMO_INTAKE_URL"),
            recovery_url=_url("READMIT_DEMO_RECOVERY_URL"),
            audit_url=_url("READMIT_DEMO_AUDIT_URL"),
            audience=environment_value("READMIT_IDENTITY_AUDIENCE"),
            client_id=environment_value("READMIT_OIDC_CLIENT_ID"),
            client_secret=_client_secret(),
        )


def _url(name: str) -> str:
    return environment_value(name).rstrip("/")


def _client_secret() -> str:
    path = os.environ.get("READMIT_OIDC_CLIENT_SECRET_FILE")
    if path:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    return environment_value("READMIT_OIDC_CLIENT_SECRET")
