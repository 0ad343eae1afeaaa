"""What each child of `readmit up` finds in its environment: the outer one first, the embedded stack's for the rest."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import USAGE, CommandError, MissingSettingsError
from deploy.local.overrides import SERVICES, Overrides, variable
from deploy.local.ports import HOST, Ports
from deploy.local.postgres import Postgres
from deploy.local.secrets import Secrets
from shared.kit.settings import DISORDER_REFUSED, FAILPOINTS_REFUSED

_ROOT = Path(__file__).resolve().parents[2]

REQUIRED_WITHOUT_DEMO = ("AUTH_JWKS", "AUTH_ISSUER", "SMTP_URL")
AUDIT_ORIGIN = "readmit.local/audit"

# Names in the demo's folder, links to whichever version of the generated files is current.
GEOIP_CITY, GEOIP_ASN = "geoip-city.mmdb", "geoip-asn.mmdb"

# Least privilege between processes of one machine: who doesn't need a key isn't told where it is.
_SECRETS_OF = {
    "intake": ("HASH_KEY",),
    "enrichment": ("HASH_KEY",),
    "notifier": ("HASH_KEY",),
    "recovery": ("HASH_KEY", "SESSION_KEY", "CODE_KEY", "GRANT_KEY"),
    "audit": ("HASH_KEY", "SESSION_KEY", "AUDIT_SIGNING_KEY", "AUDIT_SUBJECT_KEY"),
}


def python_module(module: str, *arguments: str) -> tuple[str, ...]:
    """The command line of one of our modules; `-P` keeps the folder that one happens to stand in off the path."""
    return (sys.executable, "-P", "-m", module, *arguments)


@dataclass(frozen=True)
class Environment:
    """Environments of the stack's children."""

    overrides: Overrides
    ports: Ports
    folder: Path
    secrets: Secrets
    postgres: Postgres
    demo: bool
    kafka: Mapping[str, str]  # the settings of the broker that runs with the stack, unless there is another

    def of_service(self, service: str) -> dict[str, str]:
        """A service's: its own database, the secrets it needs, and an address to listen on that nothing overrides."""
        defaults = self._common() | {"DATABASE_URL": self.database_url(service)}
        if service == "audit":
            defaults |= {"AUDIT_ORIGIN": AUDIT_ORIGIN}
        for name in _SECRETS_OF[service]:
            if not self.overrides.holds(name, service):
                defaults[f"{name}_FILE"] = str(self.secrets.setting(name))
        environment = self._base(service)
        for setting, value in defaults.items():
            if not self.overrides.holds(setting.removesuffix("_FILE"), service):
                # The database's variable is the service's own by contract; the rest is common to all.
                environment[variable(setting, service if setting == "DATABASE_URL" else None)] = value
        environment |= {"READMIT_HOST": HOST, "READMIT_PORT": str(self.ports.of(service))}
        return environment

    def of_tools(self, services: tuple[str, ...]) -> dict[str, str]:
        """For `readmit migrate`, `topics apply` and `replay`: every database, with its owner where that is ours."""
        environment = self._base()
        for service in services:
            outer = self.overrides.value("DATABASE_URL", service)
            if outer is None:
                environment[variable("OWNER_DATABASE_URL", service)] = self.postgres.owner_url(service)
                environment[variable("DATABASE_URL", service)] = self.postgres.url(service)
            elif not self.overrides.holds("OWNER_DATABASE_URL", service):
                environment[variable("OWNER_DATABASE_URL", service)] = outer
        return self._with_defaults(environment, self._broker())

    def of_demo(self) -> dict[str, str]:
        """For the demo's identity platform and mailbox."""
        demo = {
            "DIR": str(self.demo_folder),
            "IDENTITY_PORT": str(self.ports.of("identity")),
            "MAILBOX_PORT": str(self.ports.of("mailbox")),
            "SMTP_PORT": str(self.ports.of("smtp")),
            "INTAKE_URL": self.ports.url("intake"),
            "RECOVERY_URL": self.ports.url("recovery"),
            "AUDIT_URL": self.ports.url("audit"),
            "PUBLIC_URL": self.ports.url("identity"),
        }
        environment = self._with_defaults(self._base(), self._common())
        return environment | {f"READMIT_DEMO_{name}": value for name, value in demo.items()}

    @property
    def demo_folder(self) -> Path:
        return self.folder / "demo"

    def database_url(self, service: str) -> str:
        """The database of a service, the one it uses itself."""
        return self.overrides.value("DATABASE_URL", service) or self.postgres.url(service)

    def setting(self, name: str) -> str | None:
        """A setting as the services see it."""
        return self.overrides.value(name) or self._common().get(name)

    def audit_signing_key(self) -> str:
        """The audit log's private keys, PEM blocks in sequence, newest first."""
        outer = self.overrides.value("AUDIT_SIGNING_KEY")
        return outer or self.secrets.setting("AUDIT_SIGNING_KEY").read_text()

    def audit_origin(self) -> str:
        return self.overrides.value("AUDIT_ORIGIN") or AUDIT_ORIGIN

    def _common(self) -> dict[str, str]:
        issuer = self.overrides.value("AUTH_ISSUER") or self.ports.url("identity")
        defaults = {
            "PUBLIC_INTAKE_URL": self.ports.url("intake"),
            "PUBLIC_RECOVERY_URL": self.ports.url("recovery"),
            "PUBLIC_AUDIT_URL": self.ports.url("audit"),
            "SIGNIN_URL": issuer,
            "IDENTITY_CONTINUE_URL": f"{issuer.rstrip('/')}/recovered",
            "IDENTITY_AUDIENCE": issuer,
            "ENRICHMENT_URL": self.ports.url("enrichment"),
            "MAIL_FROM": "Readmit <readmit@localhost>",
            "ORGANISATION": "Your organisation",
            "SUPPORT_CONTACT": "your help desk",
        }
        return defaults | self._broker() | (self._demo_settings() if self.demo else {})

    def _demo_settings(self) -> dict[str, str]:
        identity = self.ports.url("identity")
        return {
            "AUTH_JWKS": f"{identity}/.well-known/jwks.json",
            "AUTH_ISSUER": identity,
            "OIDC_CLIENT_ID": "readmit",
            "OIDC_CLIENT_SECRET": self.secrets.password("oidc_client_secret"),
            "SIGNIN_URL": identity,
            "IDENTITY_CONTINUE_URL": f"{identity}/recovered",
            "IDENTITY_AUDIENCE": identity,
            "SMTP_URL": f"smtp://{self.ports.endpoint('smtp')}",
            "MAIL_FROM": "Account recovery <recovery@example.org>",
            "ORGANISATION": "Example Org",
            "SUPPORT_CONTACT": "helpdesk@example.org",
            "GEOIP_CITY": str(self.demo_folder / GEOIP_CITY),
            "GEOIP_ASN": str(self.demo_folder / GEOIP_ASN),
        }

    def _broker(self) -> dict[str, str]:
        if self.overrides.holds("KAFKA_BOOTSTRAP_SERVERS"):
            return {}
        return dict(self.kafka)

    def _with_defaults(self, environment: dict[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
        missing = {name: value for name, value in defaults.items() if not self.overrides.holds(name)}
        return environment | {variable(name): value for name, value in missing.items()}

    def _base(self, service: str | None = None) -> dict[str, str]:
        base = self.overrides.inherited(service)
        path = [str(_ROOT), *filter(None, [base.get("PYTHONPATH")])]
        return base | {"PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def require_settings(overrides: Overrides, *, demo: bool) -> None:
    """Raise `CommandError` when the environment must hold more than it does."""
    missing = [] if demo else overrides.missing(REQUIRED_WITHOUT_DEMO)
    if missing:
        raise MissingSettingsError(missing, "They have no default: set them, or try `readmit up --demo`.")
    if overrides.value("ENVIRONMENT") != "test":
        for name, refusal in (("FAILPOINTS", FAILPOINTS_REFUSED), ("DISORDER_WINDOW", DISORDER_REFUSED)):
            if any(overrides.value(name, service) not in (None, "", "0") for service in (None, *SERVICES)):
                raise CommandError(refusal, exit_code=USAGE)
    for name in overrides.environ:
        if name.startswith("READMIT_") and f"{name}_FILE" in overrides.environ:
            raise CommandError(f"{name} and {name}_FILE are both set: one of them must go", exit_code=USAGE)
