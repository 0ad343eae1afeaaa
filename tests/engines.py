"""Real engines for tests: a PostgreSQL and a Kafka-protocol broker, started by the tests or given to them.

READMIT_TEST_POSTGRES is `embedded` (default) or the URL of a superuser's database.
READMIT_TEST_KAFKA is `embedded` (default), `apache` (a node of `deploy.local.kafka_apache`: Java 17 and Maven are
needed), `testcontainers` (Apache's image on a Docker engine) or `host:port[,host:port]`.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from deploy.local import broker as local_broker
from deploy.local.broker import EMBEDDED_SETTINGS
from deploy.local.children import Child, Program
from deploy.local.kafka_apache import CLIENT_SETTINGS, ApacheKafka
from deploy.local.kafka_cluster import Cluster
from deploy.local.ports import Ports
from deploy.local.postgres import Postgres, socket_folder
from deploy.local.secrets import Secrets
from tests.kafka_container import kafka_container
from tests.requirements import require_kafka_tools


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


KAFKA = os.environ.get("READMIT_TEST_KAFKA", "embedded")


@asynccontextmanager
async def kafka(folder: Path) -> AsyncIterator[list[str]]:
    """The bootstrap servers of a broker that is empty, unless it was given."""
    port = free_port()
    if KAFKA == "testcontainers":
        async with kafka_container(folder / "kafka", port) as server:
            yield [server]
    elif KAFKA == "apache":
        async with _running(await _apache_program(port, folder), limit=60):
            yield [f"127.0.0.1:{port}"]
    elif KAFKA == "embedded":
        async with _running(broker_program(port, folder), limit=15):
            yield [f"127.0.0.1:{port}"]
    else:
        yield KAFKA.split(",")


def kafka_settings(servers: list[str], kind: str = KAFKA) -> dict[str, str]:
    """A service's environment for a broker of `kafka`, or of another kind, as `readmit up` would set it."""
    suited = {"embedded": EMBEDDED_SETTINGS, "apache": CLIENT_SETTINGS, "testcontainers": CLIENT_SETTINGS}
    settings = {"KAFKA_BOOTSTRAP_SERVERS": ",".join(servers), **suited.get(kind, {})}
    return {f"READMIT_{name}": value for name, value in settings.items()}


@asynccontextmanager
async def kafka_of_stack(
    folder: Path, options: Sequence[str] = ()
) -> AsyncIterator[tuple[Sequence[str], dict[str, str]]]:
    """How a `readmit up` of the tests comes to its broker: all its options, unless they name one, and environment."""
    if "--kafka" in options:
        yield options, {}
    elif KAFKA == "apache":
        require_kafka_tools()
        yield [*options, "--kafka", "apache"], {}
    elif KAFKA == "testcontainers":
        # One for each stack: their topics have the same names.
        async with kafka_container(folder / "kafka", free_port()) as server:
            yield options, kafka_settings([server])
    else:
        yield options, {}


@asynccontextmanager
async def _running(program: Program, *, limit: float) -> AsyncIterator[None]:
    child = Child(program)
    await child.start()
    try:
        await child.until_ready(limit)
        yield
    finally:
        await child.stop()


async def _apache_program(port: int, folder: Path) -> Program:
    require_kafka_tools()
    broker = ApacheKafka(folder / "kafka", folder, os.environ, Cluster.of(folder / "kafka", port, 1))
    await broker.prepare()
    (program,) = broker.programs()
    return program


def broker_program(port: int, folder: Path) -> Program:
    """The embedded broker on a port of the test's own."""
    return local_broker.program(Ports(port - 8), folder)  # the stack's Kafka port is its base plus 8
