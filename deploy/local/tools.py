"""The one-off steps of a start, each a process of our own command: their imports don't stay in the supervisor."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.environment import python_module
from deploy.local.spawn import run_to_end


@dataclass(frozen=True)
class Commands:
    """What is run for what; tests put small programs in their place."""

    cli: tuple[str, ...] = python_module("deploy.cli")
    service_module: str = "services.{service}"

    def service(self, name: str) -> tuple[str, ...]:
        return python_module(self.service_module.format(service=name))


@dataclass(frozen=True)
class Tools:
    """`readmit migrate`, `topics apply`, `replay` and `import`, as `up` uses them."""

    commands: Commands
    env: Mapping[str, str]
    log: Path

    async def migrate(self) -> None:
        await self._run("migrate", what="bringing the database schemas up to date")

    async def apply_topics(self) -> None:
        await self._run("topics", "apply", what="creating the topics")

    async def replay(self) -> None:
        """Everything that the services ever published, once more: the embedded broker forgets."""
        await self._run("replay", what="refilling the broker from the services' ledgers")

    async def import_events(self, file: Path, *, url: str, token: str, state: Path) -> None:
        """Post a file of events; its progress bar goes to our terminal."""
        argv = (*self.commands.cli, "import", str(file), "--url", url, "--state", str(state))
        await run_to_end(argv, {**self.env, "READMIT_TOKEN": token}, None, what=f"importing {file.name}")

    async def _run(self, *arguments: str, what: str) -> None:
        await run_to_end((*self.commands.cli, *arguments), self.env, self.log, what=what)
