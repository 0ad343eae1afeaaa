"""The demo beside the services: identity platform, mailbox, and the organisation's history."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.children import Program
from deploy.local.environment import Environment, python_module
from deploy.local.ports import HOST
from deploy.local.probe import http_ready
from deploy.local.secrets import write_private
from deploy.local.spawn import run_to_end
from deploy.local.tools import Tools


@dataclass(frozen=True)
class Facts:
    """Who is who in the demo: tokens by role, people with their passwords, and the file of the history."""

    tokens: Mapping[str, str]
    people: Mapping[str, Mapping[str, str]]
    seed: Path


@dataclass(frozen=True)
class Demo:
    """The demo of this data folder."""

    environment: Environment
    logs: Path

    def uses_mailbox(self) -> bool:
        return not self.environment.overrides.holds("SMTP_URL")

    async def prepare(self) -> Facts:
        """Make what the demo needs on disk, and learn its tokens and people."""
        folder = self.environment.demo_folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        issuer = self.environment.setting("AUTH_ISSUER") or ""
        output = folder / "facts"
        # Tokens and passwords pass through this file, for as long as that takes.
        write_private(output, "")
        try:
            argv = python_module("deploy.local.demo_facts", str(folder), issuer)
            await run_to_end(argv, self.environment.of_demo(), output, what="preparing the demo")
            facts = json.loads(output.read_text().splitlines()[-1])
        finally:
            output.unlink(missing_ok=True)
        return Facts(tokens=facts["tokens"], people=facts["people"], seed=Path(facts["seed"]))

    def programs(self) -> list[Program]:
        """Identity platform, and a mailbox unless mail goes elsewhere."""
        names = ["identity", "mailbox"] if self.uses_mailbox() else ["identity"]
        environment = self.environment.of_demo()
        return [
            Program(
                name=name,
                argv=python_module(f"deploy.demo.{name}"),
                env=environment,
                log=self.logs / f"{name}.log",
                ready=http_ready(HOST, self.environment.ports.of(name), "/health/ready"),
                grace=1.5,
            )
            for name in names
        ]

    async def import_history(self, facts: Facts, tools: Tools) -> str | None:
        """Post the history once a data folder. Returns what to tell people when it can't be done."""
        marker = self.environment.demo_folder / "imported"
        if marker.exists():
            return None
        token = self._import_token(facts)
        if token is None:
            return (
                "the demo's history was not imported: READMIT_AUTH_JWKS is not the demo's, so intake would refuse its "
                "token. Set READMIT_TOKEN to one of scope readmit.events to have it imported."
            )
        state = self.environment.demo_folder / "import-state.json"
        await tools.import_events(facts.seed, url=self.environment.ports.url("intake"), token=token, state=state)
        marker.touch()
        return None

    def trusts_demo_tokens(self) -> bool:
        """Whether the services check tokens against the demo's keys."""
        return not self.environment.overrides.holds("AUTH_JWKS")

    def _import_token(self, facts: Facts) -> str | None:
        if self.trusts_demo_tokens():
            return facts.tokens["platform"]
        return self.environment.overrides.value("TOKEN")


def tour(ready: Mapping[str, object], ready_file: Path) -> str:
    """The demo's guide, printed once everything is ready."""
    from deploy.demo.tour import render

    return render(dict(ready), str(ready_file))
