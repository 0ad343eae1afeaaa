"""`readmit up`: the embedded stack in the foreground."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.local import stack
from deploy.local.demo import tour
from deploy.local.ready import for_people


def up(*, demo: bool, folder: Path, port_base: int, kafka: stack.Kafka, brokers: int) -> None:
    """Run the stack until a signal; says on the terminal what runs where."""
    console = Console(highlight=False, soft_wrap=True)

    def report(content: Mapping[str, Any], notes: list[str]) -> None:
        console.print(
            f"\n[bold]Readmit is ready.[/bold] Everything below is also in {folder.absolute() / 'ready.json'}\n"
        )
        console.print(for_people(content), markup=False)
        for note in notes:
            console.print(f"\nNote: {note}", markup=False)
        if demo:
            console.print("\n" + tour(content, folder / "ready.json"), markup=False)
        console.print("\nCtrl-C stops it.")

    console.print(f"Starting Readmit in {folder.absolute()} …")
    options = stack.Options(
        folder=folder, environ=dict(os.environ), port_base=port_base, demo=demo, kafka=kafka, brokers=brokers
    )
    stack.run(options, report)
    console.print("Stopped.")
