"""The services' databases on one PostgreSQL server: a database and a role for each, and a second one for audit.

Audit's schema belongs to `readmit_audit_owner`; the service writes with `readmit_audit`, which could otherwise lift
the rule that nothing recorded is ever changed.
"""

from dataclasses import dataclass, field

import asyncpg


@dataclass(frozen=True)
class Login:
    """A role that signs in with a password."""

    role: str
    password: str = field(repr=False)


async def shield(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """What holds for the server as a whole: passwords stay out of its log, and each role in its own database."""
    # Passwords are in the statements to come: an error must not write them into the log.
    await connection.execute("SET log_min_error_statement = panic")
    for database in ("postgres", "template1"):
        await connection.execute(f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")


async def create_database(
    connection: "asyncpg.Connection[asyncpg.Record]", database: str, *, owner: Login, user: Login
) -> None:
    """Make a service's roles and database, or set the passwords of those that are there.

    Args:
        connection: a superuser's, after `shield`.
        database: its name.
        owner: whose the schema is.
        user: what the service signs in as; the owner itself, but for audit.
    """
    for login in dict.fromkeys((owner, user)):
        known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", login.role)
        verb = "ALTER" if known else "CREATE"
        # Utility statements take no parameters: the server itself quotes what goes into them.
        await connection.execute(
            await connection.fetchval(
                "SELECT format('%s ROLE %I LOGIN PASSWORD %L', $1::text, $2::text, $3::text)",
                verb, login.role, login.password,
            )
        )  # fmt: skip
    named = await connection.fetchrow(
        "SELECT quote_ident($1) AS database, quote_ident($2) AS owner, quote_ident($3) AS user",
        database, owner.role, user.role,
    )  # fmt: skip
    assert named is not None
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
        await connection.execute(f"CREATE DATABASE {named['database']} OWNER {named['owner']}")
    # Each service sees its own database only: nobody may take the short way into another's.
    await connection.execute(f"REVOKE ALL ON DATABASE {named['database']} FROM PUBLIC")
    await connection.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {named['database']} TO {named['user']}")
