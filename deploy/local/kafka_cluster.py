"""What an Apache Kafka cluster on one machine is made of: its id, its nodes with their ports, their properties."""

import base64
import json
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.errors import USAGE, CommandError
from deploy.local.ports import HOST, is_free
from deploy.local.secrets import write_private

# Below the ports that Linux gives to outgoing connections (32768 on), so that a restart finds them free.
_EXTRA_PORTS = range(20_000, 32_768)


@dataclass(frozen=True)
class Node:
    """One process: broker and controller in one (KRaft's combined mode)."""

    id: int
    broker_port: int
    controller_port: int

    @property
    def name(self) -> str:
        return "broker" if self.id == 1 else f"broker-{self.id}"

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.broker_port}"


@dataclass(frozen=True)
class Cluster:
    """Kept in a data folder's `kafka/cluster.json`: the same nodes under the same ports after each start."""

    id: str
    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, folder: Path, first_port: int, brokers: int) -> "Cluster":
        """The cluster of a folder, founded when there is none. Extra ports that others took meanwhile are replaced.

        Raises:
            CommandError: the folder's cluster has another number of brokers.
        """
        path = folder / "cluster.json"
        kept: dict[str, Any] = {"id": _new_id(), "brokers": brokers, "ports": []}
        if path.exists():
            kept = json.loads(path.read_text())
        if kept["brokers"] != brokers:
            # A quorum of fixed voters can't change their number, and nothing is lost with it: the ledgers refill it.
            raise CommandError(
                f"{folder} holds a cluster of {kept['brokers']} broker(s), not of {brokers}. Use --brokers "
                f"{kept['brokers']}, or remove {folder}: the new cluster is filled from the services' ledgers.",
                exit_code=USAGE,
            )
        # All but the first broker's, which is the stack's own port: a controller a node, and the other brokers.
        wanted = brokers * 2 - 1
        ports = [port for port in kept["ports"] if is_free(port)][:wanted]
        while len(ports) < wanted:
            ports.append(_free_port({first_port, *ports}))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, json.dumps(kept | {"ports": ports}))
        controllers, others = ports[:brokers], [first_port, *ports[brokers:]]
        nodes = (Node(number, *pair) for number, pair in enumerate(zip(others, controllers, strict=True), start=1))
        return cls(kept["id"], tuple(nodes))

    def properties(self, node: Node, data: Path) -> dict[str, str]:
        """A node's `server.properties`: defaults that are fit for a data centre replaced by ones for one machine."""
        copies, in_sync = str(len(self.nodes)), str(min(2, len(self.nodes)))
        return {
            "process.roles": "broker,controller",
            "node.id": str(node.id),
            "controller.quorum.voters": ",".join(f"{each.id}@{HOST}:{each.controller_port}" for each in self.nodes),
            "listeners": f"PLAINTEXT://{node.endpoint},CONTROLLER://{HOST}:{node.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{node.endpoint}",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(data),
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": "4",  # a coordinator for five groups needs no 50 partitions
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            "group.initial.rebalance.delay.ms": "0",  # one consumer a group: no others to wait for
            "group.min.session.timeout.ms": "1000",
            # A broker that was killed is refused until its old session is over, so its restart takes this and 5 s.
            # Shorter than the default 9 s for that; at 3 s a busy machine's own heartbeats came too late.
            "broker.session.timeout.ms": "6000",
            "broker.heartbeat.interval.ms": "1000",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": "8388608",  # bytes of heap; by default half of what a node has here
        }


def render(properties: dict[str, str]) -> str:
    """The text of a Java properties file. Values are taken as they are but for backslashes, which escape."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in properties.items())


def _escaped(value: str) -> str:
    # ISO 8859-1 by definition, the rest as \uXXXX (java.util.Properties), in UTF-16 units.
    escaped = value.replace("\\", "\\\\")
    units = escaped.encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)


def _new_id() -> str:
    # A Kafka Uuid: 16 random bytes, base64url without padding. One with a leading dash would look like an option.
    while (made := base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")).startswith("-"):
        pass
    return made


def _free_port(taken: set[int]) -> int:
    for _ in range(1000):
        port = secrets.choice(_EXTRA_PORTS)
        if port not in taken and is_free(port):
            return port
    with socket.socket() as any_port:
        any_port.bind((HOST, 0))
        found: int = any_port.getsockname()[1]
        return found
