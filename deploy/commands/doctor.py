"""`readmit doctor`: looks at everything that Readmit depends on, and says for each what to do."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.commands import checkups
from deploy.commands.checkups import Finding
from deploy.local.overrides import SERVICES

Look = Coroutine[Any, Any, list[Finding]]


def doctor(environ: Mapping[str, str], folder: Path) -> int:
    """Print the findings; 0 when all is well, else 1."""
    console = Console(highlight=False, soft_wrap=True)
    environments, where = checkups.environments(environ, folder)
    console.print(f"Looking at {where}.", markup=False)
    failed = 0
    for name, look in _checkups(environments):
        for finding in asyncio.run(look):
            mark = "[green]OK  [/green]" if finding.ok else "[red]FAIL[/red]"
            console.print(f"{mark}  {name:<20}", end="")
            console.print(finding.text, markup=False)
            if not finding.ok:
                failed += 1
                console.print(f"      {'':<20}→ {finding.advice}", markup=False)
    console.print("All is well." if not failed else f"{failed} to put right.")
    return 1 if failed else 0


def _checkups(environments: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, Look]]:
    yield "configuration", checkups.configuration(environments)
    yield "broker", checkups.broker(environments["recovery"])
    for service in SERVICES:
        yield f"database {service}", checkups.database(service, environments[service])
    yield "SMTP", checkups.smtp(environments["notifier"])
    yield "GeoIP", checkups.geoip(environments["enrichment"])
    yield "token keys", checkups.token_keys(environments["intake"])
