"""A running stack as a test sees it: a process, a folder, and what `ready.json` says."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.integration.up_stubs.ports import free_port_base

_ROOT = Path(__file__).resolve().parents[3]
EXTERNAL = {
    "READMIT_AUTH_JWKS": "/nonexistent/jwks.json",
    "READMIT_AUTH_ISSUER": "https://identity.example.org",
    "READMIT_SMTP_URL": "smtp://user:secret@mail.example.org:2525",
}


def eventually(condition: Callable[[], Any], *, limit: float = 20.0) -> Any:
    """The first true value of a condition; fails after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)
    return value


@dataclass
class Running:
    """One `up` with stub services."""

    folder: Path
    environ: dict[str, str] = field(default_factory=lambda: dict(EXTERNAL))
    flags: tuple[str, ...] = ()
    port_base: int = field(default_factory=free_port_base)
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> "Running":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("READMIT_")}
        environ = inherited | {"PYTHONPATH": str(_ROOT), "STUB_CALLS": str(self.calls)} | self.environ
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.up_stubs", str(self.folder), str(self.port_base), *self.flags],
            env=environ,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def until_ready(self, limit: float = 60) -> "Running":
        def ready_or_over() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.process.communicate()
            return (self.folder / "ready.json").exists()

        eventually(ready_or_over, limit=limit)
        return self

    @property
    def calls(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.calls")

    def called(self) -> list[str]:
        """What the stack ran of our commands so far, without the arguments of `import`."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line.split(" ")[0] if line.startswith("import") else line for line in lines]

    def ready(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "ready.json").read_text()))

    def pid(self, name: str) -> int:
        return int(self.ready()["pids"][name])

    def kill(self, name: str) -> tuple[int, int]:
        """Kill a child; its pid before and, once `up` has started it again, after."""
        before = self.pid(name)
        os.kill(before, signal.SIGKILL)
        eventually(lambda: self.pid(name) != before)
        return before, self.pid(name)

    def answers(self, service: str) -> bool:
        try:
            return httpx.get(f"{self.ready()['ops_urls'][service]}/health/ready", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float, str]:
        """Exit code, seconds that it took, and what it said on stderr."""
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, time.monotonic() - started, said

    def end(self) -> "tuple[int, str]":
        """Wait for an `up` that ends by itself: exit code and what it said."""
        assert self.process is not None
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
