"""`readmit migrate`: database schemas, each with the role that owns the database."""

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg
from alembic.util import CommandError as AlembicError
from sqlalchemy.exc import SQLAlchemyError

from deploy.errors import USAGE, CommandError, MissingSettingsError
from deploy.local.overrides import Overrides, variable
from shared.kit.db.engine import async_url
from shared.kit.db.migrate import migrate_async


def migrate(services: Sequence[str], environ: Mapping[str, str]) -> None:
    """Bring the databases of these services to the newest revision, one after another."""
    overrides = Overrides(environ)
    missing = [name for service in services if (name := _missing(service, overrides))]
    if missing:
        hint = "They say where the databases are; audit's schema belongs to another role than the one that writes."
        raise MissingSettingsError(missing, hint)
    asyncio.run(_migrate({service: _roles(service, overrides) for service in services}))


async def _migrate(databases: Mapping[str, tuple[str, str | None]]) -> None:
    # Alembic keeps its context in a module: two at once would run each other's operations.
    for service, (owner_url, app_role) in databases.items():
        try:
            await migrate_async(service, owner_url, app_role=app_role)
        except (OSError, TimeoutError, SQLAlchemyError, asyncpg.PostgresError, AlembicError) as error:
            raise CommandError(f"{service}: the schema cannot be brought up to date: {error}") from error
        print(f"{service}: up to date", flush=True)


def _missing(service: str, overrides: Overrides) -> str | None:
    """What must be set and is not. Audit's own role must not be able to change what it wrote, so it can't migrate."""
    if overrides.value("OWNER_DATABASE_URL", service):
        return None
    if service == "audit":
        return variable("OWNER_DATABASE_URL", service)
    return None if overrides.value("DATABASE_URL", service) else variable("DATABASE_URL", service)


def _roles(service: str, overrides: Overrides) -> tuple[str, str | None]:
    """The owner's address, and the role to grant to where the service uses another one."""
    url = overrides.value("DATABASE_URL", service)
    owner_url = overrides.value("OWNER_DATABASE_URL", service) or url or ""
    role = _role(service, url) if url else None
    return owner_url, role if role != _role(service, owner_url) else None


def _role(service: str, url: str) -> str | None:
    try:
        return async_url(url).username
    except (ValueError, SQLAlchemyError) as error:
        raise CommandError(f"{variable('DATABASE_URL', service)} is no database address", exit_code=USAGE) from error
