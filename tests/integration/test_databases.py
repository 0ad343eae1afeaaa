"""`readmit databases` on a real PostgreSQL: who gets in where, and who does not."""

from __future__ import annotations

import asyncio
import secrets
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.commands import databases, migrate
from deploy.errors import CommandError, MissingSettingsError
from deploy.local.overrides import SERVICES, variable
from tests.engines import PostgresEngine


def an_environment(engine: PostgresEngine, tag: str) -> dict[str, str]:
    """Addresses of databases that are not there yet; one password needs quoting on both sides."""
    query = urlsplit(engine.admin_url).query

    def url(role: str, database: str, password: str = "it%27s%20%22quoted%22") -> str:
        host = urlsplit(engine.admin_url).netloc.rpartition("@")[2]
        return f"postgresql://{role}_{tag}:{password}@{host}/{database}_{tag}" + (f"?{query}" if query else "")

    environ = {variable("DATABASE_URL", service): url(service, f"of-{service}") for service in SERVICES}
    environ[variable("OWNER_DATABASE_URL", "audit")] = url("owner", "of-audit")
    return environ | {"READMIT_POSTGRES_ADMIN_URL": engine.admin_url}


async def test_each_service_gets_into_its_own_database_only(postgres_engine: PostgresEngine) -> None:
    environ = an_environment(postgres_engine, secrets.token_hex(4))
    await asyncio.to_thread(databases.create, environ)
    await asyncio.to_thread(databases.create, environ)  # idempotent
    await asyncio.to_thread(migrate.migrate, SERVICES, environ)

    url = environ[variable("DATABASE_URL", "intake")]
    connection = await asyncpg.connect(url)
    await connection.close()
    others = urlsplit(environ[variable("DATABASE_URL", "recovery")]).path
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(urlsplit(url)._replace(path=others).geturl())

    connection = await asyncpg.connect(environ[variable("DATABASE_URL", "audit")])
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE mine (n int)")
    finally:
        await connection.close()


async def test_a_changed_password_is_set(postgres_engine: PostgresEngine) -> None:
    environ = an_environment(postgres_engine, secrets.token_hex(4))
    await asyncio.to_thread(databases.create, environ)
    old = environ[variable("DATABASE_URL", "intake")]
    new = old.replace("it%27s%20%22quoted%22", "another")
    await asyncio.to_thread(databases.create, environ | {variable("DATABASE_URL", "intake"): new})
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(old)
    await (await asyncpg.connect(new)).close()


def test_what_is_missing_or_wrong_is_named_without_the_password() -> None:
    with pytest.raises(MissingSettingsError, match="READMIT_POSTGRES_ADMIN_URL, READMIT_INTAKE_DATABASE_URL"):
        databases.create({})
    environ = {variable("DATABASE_URL", service): f"postgresql://a:secret@h/{service}" for service in SERVICES}
    environ |= {"READMIT_POSTGRES_ADMIN_URL": "postgresql://a:secret@127.0.0.1:1/postgres"}
    with pytest.raises(CommandError, match="audit: its two addresses name different databases"):
        databases.create(environ | {variable("OWNER_DATABASE_URL", "audit"): "postgresql://b:secret@h/other"})
    environ[variable("OWNER_DATABASE_URL", "audit")] = "postgresql://b:secret@h/audit"
    with pytest.raises(CommandError, match="cannot be made") as refusal:
        databases.create(environ)
    assert "secret" not in str(refusal.value)
    environ[variable("DATABASE_URL", "intake")] = "postgresql://h/intake"
    with pytest.raises(CommandError, match="READMIT_INTAKE_DATABASE_URL must be"):
        databases.create(environ)
