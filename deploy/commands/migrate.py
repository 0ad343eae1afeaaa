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
    asyncio.run(_migrate({service: _roles(service, Overrides(environ)) for service in services}))


async def _migrate(databases: Mapping[str, tuple[str, str | None]]) -> None:
    # Alembic keeps its context in a module: two at once would run each other's operations.
    for service, (owner_url, app_role) in databases.items():
        try:
            await migrate_async(service, owner_url, app_role=app_role)
        except (OSError, TimeoutError, SQLAlchemyError, asyncpg.PostgresError, AlembicError) as error:
            raise CommandError(f"{service}: the schema cannot be brought up to date: {error}") from error
        print(f"{service}: up to date", flush=True)


def _roles(service: str, overrides: Overrides) -> tuple[str, str | None]:
    """The owner's address, and the role to grant to where the service uses another one."""
    url = overrides.value("DATABASE_URL", service)
    owner_url = overrides.value("OWNER_DATABASE_URL", service)
    if owner_url is None and service == "audit":
        hint = "Audit's schema belongs to another role than the one that writes, which must not be able to change it."
        raise MissingSettingsError([variable("OWNER_DATABASE_URL", service)], hint)
    if owner_url is None and url is None:
        raise MissingSettingsError([variable("DATABASE_URL", service)], "It says where the database is.")
    role = _role(service, url) if url else None
    owner = owner_url or url or ""
    return owner, role if role != _role(service, owner) else None


def _role(service: str, url: str) -> str | None:
    try:
        return async_url(url).username
    except (ValueError, SQLAlchemyError) as error:
        raise CommandError(f"{variable('DATABASE_URL', service)} is no database address", exit_code=USAGE) from error
