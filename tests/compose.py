"""A running `docker compose --profile dev` for tests: its own project, ports and secrets, gone afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.stack import ROOT, free_port_base

_START_SECONDS = 600  # Kafka, PostgreSQL and six of ours on two cores that others use too
LONG_RUNNING = (
    "kafka", "postgres", "valkey", "mailpit", "identity", "intake", "enrichment", "notifier", "recovery", "audit",
)  # fmt: skip
OURS = ("intake", "enrichment", "notifier", "recovery", "audit")

Value = TypeVar("Value")


def engine_is_there() -> bool:
    """Whether a Docker engine answers, and its Compose is new enough to have `env_file` with `required`."""
    if shutil.which("docker") is None:
        return False
    asked = (["docker", "info"], ["docker", "compose", "version"])
    return all(subprocess.run(command, capture_output=True, timeout=60).returncode == 0 for command in asked)


@dataclass
class Compose:
    """One project. `url` and `facts` are the ways in; the rest is `docker compose`."""

    project: str
    environ: dict[str, str]
    ports: dict[str, int]
    facts: dict[str, Any] = field(default_factory=dict)

    def run(self, *arguments: str, seconds: float = 120) -> str:
        """`docker compose …`; its stdout."""
        command = ["docker", "compose", "--project-name", self.project, "--profile", "dev", *arguments]
        return _output(command, self.environ, seconds)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def headers(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.facts['tokens'][role]}"}

    def up(self) -> None:
        """Start, and wait until all that goes on running is healthy and the history is in."""
        self.run("up", "--detach", seconds=_START_SECONDS)
        self.until_healthy(LONG_RUNNING)
        wait_for(
            lambda: self.state("demo-seed")["Status"] == "exited", seconds=_START_SECONDS, what="the history is in"
        )
        assert self.state("demo-seed")["ExitCode"] == 0, self.run("logs", "demo-seed")
        self.facts = json.loads(self.run("exec", "-T", "identity", "python", "-P", "-m", "deploy.docker.demo", "facts"))

    def until_healthy(self, services: Sequence[str]) -> None:
        for service in services:
            wait_for(
                lambda name=service: self.state(name).get("Health", {}).get("Status") == "healthy",  # type: ignore[misc]
                seconds=_START_SECONDS,
                what=f"{service} is healthy",
            )

    def container(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        name = f"{self.project}-{service}-1"
        found: dict[str, Any] = json.loads(_output(["docker", "inspect", name], self.environ, 60))[0]
        return found

    def state(self, service: str) -> dict[str, Any]:
        state: dict[str, Any] = self.container(service)["State"]
        return state

    def kill(self, service: str, *command: str) -> None:
        """Kill -9 what runs in a container, from inside: the engine takes `docker kill` for a wish to stop."""
        subprocess.run(
            ["docker", "exec", f"{self.project}-{service}-1", *command],
            env=self.environ,
            capture_output=True,
            timeout=60,
        )


def wait_for(condition: Callable[[], Value | None], *, seconds: float, what: str) -> Value:
    """The condition's value once it is true; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} did not come true within {seconds} s"
        time.sleep(0.5)
    return value


@contextlib.contextmanager
def running_compose(folder: Path, *, build: bool) -> Iterator[Compose]:
    """Everything of the profile `dev`, started from nothing and removed at the end, volumes too."""
    names = ("identity", "intake", "recovery", "audit", "mailpit")
    base = free_port_base(len(names))
    ports = {name: base + offset for offset, name in enumerate(names)}
    keys = folder / "secrets"
    keys.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("READMIT_")}
    environ |= {f"READMIT_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    environ["READMIT_SECRETS"] = str(keys)
    compose = Compose(f"readmit-test-{secrets.token_hex(3)}", environ, ports)
    try:
        if build:
            compose.run("build", seconds=1800)
        compose.run("--profile", "tools", "run", "--rm", "secrets")
        compose.up()
        yield compose
    finally:
        compose.run("down", "--volumes", "--remove-orphans", "--timeout", "15", seconds=300)


def mails(client: httpx.Client, compose: Compose, query: str) -> list[dict[str, Any]]:
    """Messages by Mailpit's own interface, whole."""
    found = client.get(f"{compose.url('mailpit')}/api/v1/search", params={"query": query}).json()["messages"]
    return [client.get(f"{compose.url('mailpit')}/api/v1/message/{item['ID']}").json() for item in found]


def _output(command: list[str], environ: dict[str, str], seconds: float) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
