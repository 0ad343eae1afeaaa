"""The demo's processes as `up` runs them: by environment, on free ports."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[3]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]


@contextlib.contextmanager
def running(module: str, url: str, log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process from ready to SIGTERM, which must end it within five seconds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("READMIT_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, env=environment | settings, stdout=output, stderr=output
        )
    try:
        _wait_until_ready(process, url, log)
        yield process
        process.terminate()
        assert process.wait(5) in (0, -15)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    # Ready in one second; a minute is for machines that run everything at once.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode}: {log.read_text()}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health/ready", trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"not ready: {log.read_text()}")
