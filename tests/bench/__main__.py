"""`make bench`: prints the figures and writes `bench.json`. Everything is measured in this run, on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import intake
from tests.bench.latency import measure_latency
from tests.bench.memory import measure_memory
from tests.bench.throughput import measure_intake
from tests.stack import ROOT, running_stack


async def measure() -> dict[str, Any]:
    bare = await intake.measure()
    with tempfile.TemporaryDirectory() as folder:
        # Limits are off: beyond this one, repeats for an account wait for the digest at the end of the hour.
        async with running_stack(Path(folder), environment={"READMIT_NOTIFY_MAX_PER_HOUR": "0"}) as stack:
            return {
                "machine": {
                    "cores": os.cpu_count(),
                    "platform": platform.platform(),
                    "python": platform.python_version(),
                },
                "latency": await measure_latency(stack),
                "intake": await measure_intake(stack),
                "intake_and_bare": bare,
                "memory": await measure_memory(stack),
            }


def show(figures: dict[str, Any]) -> None:
    table = Table(title="Readmit, measured in this run")
    for column in ("what", "figure", "target"):
        table.add_column(column)
    latency, accepted, memory = figures["latency"], figures["intake"], figures["memory"]
    bare, alone = figures["intake_and_bare"]["bare"], figures["intake_and_bare"]["intake"]
    table.add_row(
        f"request to admin's mail accepted by SMTP, idle, n={latency['n']}",
        f"p50 {latency['p50_ms']} ms, p99 {latency['p99_ms']} ms",
        "p50 ≤ 150 ms",
    )
    table.add_row(
        "intake alone with its relay: requests accepted, 32 clients",
        f"{alone['requests_per_second']}/s, p99 {alone['p99_ms']} ms",
        "p99 ≤ 25 ms",
    )
    table.add_row(
        "the same insert by a bare Starlette application",
        f"{bare['requests_per_second']}/s, p99 {bare['p99_ms']} ms; ratio {figures['intake_and_bare']['ratio']}",
        "ratio ≥ 0.6",
    )
    table.add_row(
        "requests accepted while five services work them off, 32 clients",
        f"{accepted['requests_per_second']}/s, p99 {accepted['p99_ms']} ms",
        "",
    )
    table.add_row("identity events accepted so, batches of 500", f"{accepted['events_per_second']}/s", "")
    for name, megabytes in memory["pss_mb"].items():
        table.add_row(f"memory of {name}, PSS", f"{megabytes} MB", "≤ 150 MB" if name in memory["services"] else "")
    Console().print(table)


def main() -> None:
    figures = asyncio.run(measure())
    (ROOT / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")
    show(figures)


if __name__ == "__main__":
    main()
