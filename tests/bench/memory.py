"""Proportional set size: what a process costs, shared pages divided among those who share them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil

from tests.stack import Stack

SERVICES = ("intake", "enrichment", "notifier", "recovery", "audit")


def pss_mb(pid: int) -> float:
    """PSS of a process and its descendants, megabytes (10^6 bytes)."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    total = 0
    for process in processes:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return round(total / 1e6, 1)


async def measure_memory(stack: Stack) -> dict[str, Any]:
    stack.refresh()
    figures = {name: pss_mb(pid) for name, pid in stack.ready["pids"].items()}
    figures["all of it, `readmit up` included"] = pss_mb(stack.process.pid)
    return {"services": list(SERVICES), "pss_mb": figures}
