"""`readmit up --kafka apache`: Apache Kafka in KRaft mode, one node or three, its log on disk."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deploy.local import kafka_download
from deploy.local.children import Program
from deploy.local.java import find_java
from deploy.local.kafka_cluster import Cluster, Node, render
from deploy.local.ports import HOST
from deploy.local.probe import listens
from deploy.local.secrets import write_private
from deploy.local.spawn import run_to_end

_JVM = (
    "-Xms64m",
    "-Xmx256m",  # a node's heap; with what the JVM needs beside it some 350 MB
    "-XX:+UseSerialGC",  # the fewest threads: this machine runs the five services too
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    # Warnings, and the brokers' own stations; everything at INFO is 150 KB a start.
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.BrokerServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)

# A service that was killed is deaf until the broker misses it: 10 s with aiokafka's default session.
CLIENT_SETTINGS = {
    "KAFKA_SESSION_TIMEOUT_MS": "3000",
    "KAFKA_HEARTBEAT_INTERVAL_MS": "500",
    "KAFKA_REBALANCE_TIMEOUT_MS": "3000",
}


@dataclass
class ApacheKafka:
    """The cluster of one data folder (`folder` is the stack's `kafka/`)."""

    folder: Path
    logs: Path
    environ: Mapping[str, str]
    cluster: Cluster
    forgets = False  # what it took is there after a restart
    _argv: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """What clients are told of it."""
        return CLIENT_SETTINGS | {
            "KAFKA_BOOTSTRAP_SERVERS": ",".join(node.endpoint for node in self.cluster.nodes),
            "KAFKA_REPLICATION_FACTOR": str(len(self.cluster.nodes)),
        }

    async def prepare(self) -> None:
        """Everything before the first start: Java, the jars, a properties file a node, formatted storage."""
        environ = {name: value for name, value in self.environ.items() if not name.startswith("READMIT_")}
        java = await find_java(environ)
        jars = await kafka_download.jars(environ, self.logs / "kafka-download.log")
        command = (str(java), *_JVM, "-cp", f"{jars}/*")
        await asyncio.gather(*(self._prepare_node(node, command) for node in self.cluster.nodes))

    def programs(self) -> list[Program]:
        """The nodes' processes, once they are prepared."""
        return [
            Program(
                name=node.name,
                argv=self._argv[node.id],
                env=_inherited(self.environ),
                log=self._log(node),
                ready=partial(listens, HOST, node.broker_port),
                grace=2.5,  # about 2 s in order; what is killed instead is recovered at the next start
            )
            for node in self.cluster.nodes
        ]

    def is_filled(self) -> bool:
        """Whether it holds what the services published before this start."""
        return self._marker.exists()

    def mark_filled(self) -> None:
        self._marker.touch()

    @property
    def _marker(self) -> Path:
        return filled_marker(self.folder)

    async def _prepare_node(self, node: Node, command: tuple[str, ...]) -> None:
        home = self.folder / f"node-{node.id}"
        home.mkdir(mode=0o700, exist_ok=True)
        data, properties = home / "data", home / "server.properties"
        write_private(properties, render(self.cluster.properties(node, data)))
        self._argv[node.id] = (*command, "kafka.Kafka", str(properties))
        if (data / "__cluster_metadata-0").exists():
            return
        # Never started: what an interrupted format left is of no use, and would be taken for formatted.
        shutil.rmtree(data, ignore_errors=True)
        arguments = ("format", "--cluster-id", self.cluster.id, "--config", str(properties))
        argv = (*command, "kafka.tools.StorageTool", *arguments)
        await run_to_end(argv, _inherited(self.environ), self._log(node), what=f"formatting the storage of {node.name}")

    def _log(self, node: Node) -> Path:
        return self.logs / f"{node.name.replace('broker', 'kafka')}.log"


def filled_marker(folder: Path) -> Path:
    """There once the cluster in `folder` holds all that the ledgers do; gone when another broker took something."""
    return folder / "filled"


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    # Not JAVA_TOOL_OPTIONS and the like: what is set there for others is not meant for this.
    return {"PATH": environ.get("PATH", os.defpath)}
