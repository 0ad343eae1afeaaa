"""Apache Kafka in a container, by the `docker` command: READMIT_TEST_KAFKA=testcontainers.

Not by the package testcontainers: its Kafka module starts Confluent's image only.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.kafka_cluster import Cluster
from deploy.local.kafka_download import version
from tests.requirements import requires

IMAGE = os.environ.get("READMIT_TEST_KAFKA_IMAGE", f"apache/kafka:{version()}")
_INSIDE = 9092


@asynccontextmanager
async def kafka_container(folder: Path, port: int) -> AsyncIterator[str]:
    """A broker as `up --kafka apache` configures it, in a container of its own; `host:port`."""
    if shutil.which("docker") is None:
        requires("docker")
    # Told apart from a broken container: no engine and no image are reasons to skip, what comes after is not.
    if (refusal := await _docker("image", "inspect", IMAGE))[0] != 0 and (refusal := await _docker("pull", IMAGE))[0]:
        requires(f"a Docker engine that has {IMAGE} or can pull it ({refusal[1].strip().splitlines()[-1]})")
    name = f"readmit-test-{secrets.token_hex(4)}"
    settings = [argument for pair in _environment(folder, port).items() for argument in ("--env", "=".join(pair))]
    published = ("--publish", f"127.0.0.1:{port}:{_INSIDE}")
    code, said = await _docker("run", "--detach", "--rm", "--name", name, *published, *settings, IMAGE)
    assert code == 0, said
    try:
        await _until_started(name)
        yield f"127.0.0.1:{port}"
    finally:
        await _docker("rm", "--force", name)


def _environment(folder: Path, port: int) -> dict[str, str]:
    cluster = Cluster.of(folder, port, 1)
    properties = cluster.properties(cluster.nodes[0], Path("/unused")) | {
        "listeners": f"PLAINTEXT://:{_INSIDE},CONTROLLER://localhost:9093",
        "controller.quorum.voters": "1@localhost:9093",
    }
    del properties["log.dirs"]  # the image's own
    return {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in properties.items()}


async def _until_started(name: str) -> None:
    end = time.monotonic() + 120
    # The engine's proxy accepts connections before the broker does, so its log is asked.
    while "Kafka Server started" not in (said := (await _docker("logs", name))[1]):
        running = await _docker("inspect", "--format", "{{.State.Running}}", name)
        assert running[1].strip() == "true", said
        assert time.monotonic() < end, f"the broker did not start within 120 s:\n{said}"
        await asyncio.sleep(0.2)


async def _docker(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "docker", *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode(errors="replace")
