"""What `readmit doctor` looks at. Each checkup answers with findings, however badly things stand."""

import asyncio
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.commands.kafka import bootstrap_servers, security
from deploy.errors import CommandError
from deploy.local.overrides import SERVICES, Overrides, variable
from shared.kit.mail.servers import SmtpServer, parse_smtp_urls

_REINSTALL = "Build the environment again: make install"


@dataclass(frozen=True)
class Finding:
    """What was seen, and what to do about it where it is not well."""

    ok: bool
    text: str
    advice: str = ""


def environments(environ: Mapping[str, str], folder: Path) -> tuple[dict[str, Mapping[str, str]], str]:
    """Each service's environment: that of a running `readmit up` in `folder` if there is one, else ours."""
    try:
        ready = json.loads((folder / "ready.json").read_text())
        port_base = urlsplit(ready["ops_urls"]["intake"]).port - 1
    except (OSError, ValueError, KeyError, TypeError):
        return dict.fromkeys(SERVICES, environ), "the environment (no `readmit up` runs here)"
    from deploy.local.stack import environment_of

    stack = environment_of(
        environ, folder, port_base, demo="tokens" in ready, kafka={"KAFKA_BOOTSTRAP_SERVERS": ready["kafka"]}
    )
    return {service: stack.of_service(service) for service in SERVICES}, f"the `readmit up` of {folder}"


async def configuration(environments: Mapping[str, Mapping[str, str]]) -> list[Finding]:
    """Whether each service would start with its settings."""
    return [_configuration(service, environ) for service, environ in environments.items()]


def _configuration(service: str, environ: Mapping[str, str]) -> Finding:
    from shared.kit.settings import ServiceSettings, SettingsError

    try:
        module = importlib.import_module(f"services.{service}.settings")
    except ImportError as error:
        return Finding(False, f"{service}: not installed ({error})", _REINSTALL)
    for item in vars(module).values():
        if isinstance(item, type) and issubclass(item, ServiceSettings) and getattr(item, "service", "") == service:
            try:
                item.load(environ)
            except SettingsError as error:
                text = "; ".join(str(error).splitlines())
                return Finding(False, f"{service}: {text}", "Set what is named; the settings reference says how.")
            return Finding(True, f"{service}: settings are complete")
    return Finding(False, f"{service}: has no settings", _REINSTALL)


async def broker(environ: Mapping[str, str]) -> list[Finding]:
    """Whether the cluster answers and has every declared topic."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    from deploy.commands.topics import DECLARATION
    from shared.kit.messaging.topics import read_topics

    try:
        servers = bootstrap_servers(environ)
        admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=5000, **security(environ))
    except CommandError as error:
        return [Finding(False, str(error), "Set READMIT_KAFKA_BOOTSTRAP_SERVERS to host:port, comma separated.")]
    where = ",".join(servers)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
    except (KafkaError, OSError, TimeoutError) as error:
        advice = "Is the broker running and reachable from here? Check address, firewall and security settings."
        return [Finding(False, f"no answer from {where}: {error}", advice)]
    finally:
        await admin.close()
    missing = sorted({topic.name for topic in read_topics(DECLARATION)} - existing)
    if missing:
        named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        return [Finding(False, f"{where}: topics are missing: {named}", "Run: readmit topics apply")]
    return [Finding(True, f"{where} answers, all topics are there")]


async def database(service: str, environ: Mapping[str, str]) -> list[Finding]:
    """Whether the service's database answers and its schema is up to date."""
    import asyncpg
    from alembic.util import CommandError as AlembicError
    from sqlalchemy.exc import SQLAlchemyError

    from shared.kit.db.migrate import current, heads

    name = variable("DATABASE_URL", service)
    try:
        url = Overrides(environ).value("DATABASE_URL", service)
        if url is None:
            return [Finding(False, f"{name} is not set", "Set it to postgresql://user:password@host/database.")]
        revision, newest = await current(url), heads(service)
    except (ImportError, AlembicError) as error:
        return [Finding(False, f"no migrations of {service}: {error}", _REINSTALL)]
    except (CommandError, OSError, TimeoutError, ValueError, SQLAlchemyError, asyncpg.PostgresError) as error:
        advice = f"Is PostgreSQL running, and is {name} right (address, role, password, database)?"
        return [Finding(False, f"no connection: {error}", advice)]
    if set(revision) != set(newest):
        have = ", ".join(revision) or "nothing"
        return [Finding(False, f"schema is at {have}, not {', '.join(newest)}", f"Run: readmit migrate {service}")]
    return [Finding(True, f"answers, schema is up to date ({', '.join(newest)})")]


async def smtp(environ: Mapping[str, str]) -> list[Finding]:
    """Whether each server takes our connection, encryption and credentials. No mail is sent."""
    try:
        value = Overrides(environ).value("SMTP_URL", "notifier")
        if value is None:
            return [Finding(False, "READMIT_SMTP_URL is not set", "Set it to smtp://, smtps:// or smtp+starttls://…")]
        servers = parse_smtp_urls(value)
    except (CommandError, ValueError) as error:
        return [Finding(False, f"READMIT_SMTP_URL {error}", "Correct the setting.")]
    return [await _smtp_server(server) for server in servers]


async def _smtp_server(server: SmtpServer) -> Finding:
    import aiosmtplib

    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.security == "tls",
        start_tls=server.security == "starttls",
        username=server.username,
        password=server.password,
        timeout=10,
    )
    try:
        async with client:
            await client.noop()
    except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
        advice = "Check address, encryption and credentials in READMIT_SMTP_URL, and that the server lets this host in."
        return Finding(False, f"{server.name}: {error}", advice)
    return Finding(True, f"{server.name} takes our mail ({server.security})")


async def geoip(environ: Mapping[str, str]) -> list[Finding]:
    """Whether the databases can be read and are of the kind that their setting means."""
    return [_geoip(environ, "GEOIP_CITY", "City"), _geoip(environ, "GEOIP_ASN", "ASN")]


def _geoip(environ: Mapping[str, str], setting: str, kind: str) -> Finding:
    import maxminddb

    path = Overrides(environ).value(setting, "enrichment")
    name = variable(setting)
    if not path:
        return Finding(True, f"{name} is not set: what it would tell is `unknown`")
    try:
        with maxminddb.open_database(path, maxminddb.MODE_FILE) as reader:
            found = reader.metadata().database_type
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        return Finding(False, f"{path}: {error}", f"Set {name} to a readable MaxMind-format file, or leave it out.")
    if kind not in found:
        return Finding(False, f"{path} is a {found} database", f"{name} needs one whose type holds `{kind}`.")
    return Finding(True, f"{path} ({found})")


async def token_keys(environ: Mapping[str, str]) -> list[Finding]:
    """Whether the issuer's keys can be had: without them every token is refused."""
    import httpx

    where = Overrides(environ).value("AUTH_JWKS", "intake")
    advice = "Set READMIT_AUTH_JWKS to the issuer's key set: an https address, http on this host, or a file."
    if not where:
        return [Finding(False, "READMIT_AUTH_JWKS is not set", advice)]
    try:
        keys = (await _read(where))["keys"]
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, KeyError, TypeError) as error:
        return [Finding(False, f"{where}: {error or type(error).__name__}", advice)]
    return [Finding(bool(keys), f"{where}: {len(keys)} keys", advice)]


async def _read(where: str) -> dict[str, list[object]]:
    import httpx

    if "://" not in where:
        return dict(json.loads(await asyncio.to_thread(Path(where).read_text)))
    loopback = urlsplit(where).hostname in {"127.0.0.1", "::1", "localhost"}
    async with httpx.AsyncClient(timeout=10, trust_env=not loopback) as client:
        return dict((await client.get(where)).raise_for_status().json())
