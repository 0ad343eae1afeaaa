"""Bringing a service's database schema up to date with Alembic."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.kit.db.engine import async_url

_LOCK = 7_330_412_001  # any constant: two migrations of one database wait for each other


def _config(service: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(importlib.resources.files(f"services.{service}") / "migrations"))
    return config


def _upgrade(service: str, app_role: str | None) -> Callable[[Connection], None]:
    config = _config(service)
    scripts = ScriptDirectory.from_config(config)

    def run(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        with EnvironmentContext(config, scripts) as environment:
            environment.configure(
                connection=connection,
                fn=lambda revision, _: scripts._upgrade_revs("head", revision),
                app_role=app_role,
            )
            environment.run_migrations()

    return run


async def migrate_async(service: str, owner_url: str, *, app_role: str | None = None) -> None:
    """Upgrades to the newest revision, in one transaction.

    Args:
        service: whose migrations to run.
        owner_url: the database, with a role that may change its schema.
        app_role: the role that the service uses, where that is another one (audit): migrations grant to it what they
            name, and nothing else. They read it as `op.get_context().opts["app_role"]`.
    """
    engine = create_async_engine(async_url(owner_url), pool_size=1)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade(service, app_role))
    finally:
        await engine.dispose()


def migrate(service: str, owner_url: str, *, app_role: str | None = None) -> None:
    """`migrate_async` for callers without an event loop."""
    import asyncio

    asyncio.run(migrate_async(service, owner_url, app_role=app_role))


def heads(service: str) -> tuple[str, ...]:
    """The newest revisions of a service's migrations."""
    return tuple(ScriptDirectory.from_config(_config(service)).get_heads())


async def current(connection_url: str) -> tuple[str, ...]:
    """The revisions that a database is at."""
    engine = create_async_engine(async_url(connection_url), pool_size=1)
    try:
        async with engine.connect() as connection:
            return tuple(await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_heads()))
    finally:
        await engine.dispose()
