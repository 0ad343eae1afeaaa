"""How commands reach the broker: contract section 10's Kafka settings, without those of a service."""

import logging
import ssl
from collections.abc import Mapping
from typing import Any

from deploy.errors import USAGE, CommandError, MissingSettingsError
from deploy.local.overrides import Overrides

# Commands say themselves what failed, and what to do.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def bootstrap_servers(environ: Mapping[str, str]) -> list[str]:
    """The brokers, as aiokafka wants them: one comma separated string is not split by it."""
    value = Overrides(environ).value("KAFKA_BOOTSTRAP_SERVERS") or ""
    servers = [server.strip() for server in value.split(",") if server.strip()]
    if not servers:
        raise MissingSettingsError(["READMIT_KAFKA_BOOTSTRAP_SERVERS"], "It says where the broker is.")
    return servers


def security(environ: Mapping[str, str]) -> dict[str, Any]:
    """Security arguments of aiokafka's clients."""
    overrides = Overrides(environ)
    protocol = overrides.value("KAFKA_SECURITY_PROTOCOL") or "PLAINTEXT"
    arguments: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        # These three are paths themselves, not values kept in files.
        authority, certificate, key = (environ.get(f"READMIT_KAFKA_{name}_FILE") for name in ("CA", "CERT", "KEY"))
        try:
            context = ssl.create_default_context(cafile=authority)
            if certificate:
                context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise CommandError(f"READMIT_KAFKA_…_FILE: cannot be used: {error}", exit_code=USAGE) from error
        arguments["ssl_context"] = context
    if protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = overrides.value("KAFKA_SASL_MECHANISM") or "PLAIN"
        arguments["sasl_plain_username"] = overrides.value("KAFKA_SASL_USERNAME")
        arguments["sasl_plain_password"] = overrides.value("KAFKA_SASL_PASSWORD")
    return arguments
