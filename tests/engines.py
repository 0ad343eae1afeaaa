"""Real engines for tests: a PostgreSQL and a Kafka-protocol broker, started by the tests or given to them.

READMIT_TEST_POSTGRES is `embedded` (default) or the URL of a superuser's database.
READMIT_TEST_KAFKA is `embedded` (default) or `host:port[,host:port]`.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from deploy.local import broker as local_broker
from deploy.local.children import Child, Program
from deploy.local.ports import Ports
from deploy.local.postgres import Postgres, socket_folder
from deploy.local.secrets import Secrets


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class PostgresEngine:
    """A server on which each test gets databases of its own."""

    admin_url: str
    child: Child | None = None

    async def create(self, name: str) -> str:
        """Creates an empty database with a unique name and returns its URL."""
        unique = f"{name}_{secrets.token_hex(4)}"
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(f'CREATE DATABASE "{unique}"')
        finally:
            await connection.close()
        return self._with_database(unique)

    async def create_role(self, prefix: str) -> tuple[str, str]:
        """Creates a login role; returns its name and password."""
        name, password = f"{prefix}_{secrets.token_hex(4)}", secrets.token_hex(8)
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        finally:
            await connection.close()
        return name, password

    def _with_database(self, name: str) -> str:
        base, _, query = self.admin_url.partition("?")
        return f"{base.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[PostgresEngine]:
    given = os.environ.get("READMIT_TEST_POSTGRES", "embedded")
    if given != "embedded":
        yield PostgresEngine(given)
        return
    keys = Secrets(folder / "secrets")
    server = Postgres(folder / "postgres", socket_folder(folder / "run"), folder / "postgres.log", keys)
    await server.initialise()
    child = Child(server.program())
    await child.start()
    try:
        await child.until_ready(30)
        password = keys.password("postgres_password")
        host = quote(str(server.sockets))
        yield PostgresEngine(f"postgresql://readmit:{password}@/postgres?host={host}", child)
    finally:
        await child.stop()


@asynccontextmanager
async def kafka(folder: Path) -> AsyncIterator[list[str]]:
    given = os.environ.get("READMIT_TEST_KAFKA", "embedded")
    if given != "embedded":
        yield given.split(",")
        return
    port = free_port()
    child = Child(broker_program(port, folder))
    await child.start()
    try:
        await child.until_ready(15)
        yield [f"127.0.0.1:{port}"]
    finally:
        await child.stop()


def broker_program(port: int, folder: Path) -> Program:
    """The embedded broker on a port of the test's own."""
    return local_broker.program(Ports(port - 8), folder)  # the stack's Kafka port is its base plus 8
