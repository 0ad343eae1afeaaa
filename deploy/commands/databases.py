"""`readmit databases`: each service's roles and database on a PostgreSQL server, made by its superuser."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import asyncpg

from deploy.databases import Login, create_database, shield
from deploy.errors import USAGE, CommandError, MissingSettingsError
from deploy.local.overrides import SERVICES, Overrides, variable

_ADMIN_URL = "READMIT_POSTGRES_ADMIN_URL"


@dataclass(frozen=True)
class Database:
    """One to make, as its addresses name it."""

    service: str
    name: str
    owner: Login
    user: Login


def create(environ: Mapping[str, str]) -> None:
    """Make what READMIT_<SERVICE>_DATABASE_URL and …_OWNER_DATABASE_URL name; set passwords of what is there."""
    overrides = Overrides(environ)
    admin_url = overrides.value("POSTGRES_ADMIN_URL")
    missing = [] if admin_url else [_ADMIN_URL]
    missing += [variable("DATABASE_URL", name) for name in SERVICES if not overrides.value("DATABASE_URL", name)]
    if not overrides.value("OWNER_DATABASE_URL", "audit"):
        missing.append(variable("OWNER_DATABASE_URL", "audit"))
    if missing or admin_url is None:
        raise MissingSettingsError(missing, "They say who may make databases, and which are to be made.")
    databases = [_database(service, overrides) for service in SERVICES]
    try:
        asyncio.run(_create(admin_url, databases))
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # Of an address that can't be used asyncpg's message may quote a part, but never the password.
        raise CommandError(f"the databases cannot be made: {error}") from error


async def _create(admin_url: str, databases: list[Database]) -> None:
    connection = await asyncpg.connect(admin_url, timeout=10)
    try:
        await shield(connection)
        for database in databases:
            await create_database(connection, database.name, owner=database.owner, user=database.user)
            print(f"{database.service}: {database.name} is there", flush=True)
    finally:
        await connection.close()


def _database(service: str, overrides: Overrides) -> Database:
    name, user = _parts(variable("DATABASE_URL", service), overrides.value("DATABASE_URL", service) or "")
    owner_url = overrides.value("OWNER_DATABASE_URL", service)
    if owner_url is None:
        return Database(service, name, user, user)
    owner_name, owner = _parts(variable("OWNER_DATABASE_URL", service), owner_url)
    if owner_name != name:
        raise CommandError(f"{service}: its two addresses name different databases", exit_code=USAGE)
    return Database(service, name, owner, user)


def _parts(setting: str, url: str) -> tuple[str, Login]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise CommandError(f"{setting} is no database address", exit_code=USAGE) from error
    name = unquote(parts.path.lstrip("/"))
    if not (name and parts.username and parts.password):
        raise CommandError(f"{setting} must be postgresql://user:password@host/database", exit_code=USAGE)
    return name, Login(unquote(parts.username), unquote(parts.password))
