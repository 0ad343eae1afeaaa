"""The demo as a newcomer meets it: how long until it is ready, what it weighs, and that its story is true."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.memory import pss_mb
from tests.stack import READMIT, ROOT, free_port_base

READY_SECONDS, MEMORY_MB, STOP_SECONDS = 25.0, 1200.0, 15.0


async def measure_demo() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("READMIT_")}
        process = await asyncio.create_subprocess_exec(
            *READMIT, "up", "--demo", "--data-dir", folder, "--port-base", str(free_port_base()),
            env=environment, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        path = Path(folder) / "ready.json"
        while not path.exists():
            assert process.returncode is None, "readmit up --demo ended"
            assert time.monotonic() - started < 120, "not ready within 120 s"
            await asyncio.sleep(0.05)
        ready_seconds = time.monotonic() - started
        ready = json.loads(path.read_text())
        await asyncio.sleep(5)
        memory = pss_mb(process.pid)
        stopping = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 30)
        return {
            "ready_seconds": round(ready_seconds, 1),
            "pss_mb": memory,
            "stop_seconds": round(time.monotonic() - stopping, 1),
            "exit_code": code,
            "tokens": sorted(ready["tokens"]),
        }


def main() -> None:
    figures = asyncio.run(measure_demo())
    print(json.dumps(figures, indent=2))  # noqa: T201
    bounds = [("ready_seconds", READY_SECONDS), ("pss_mb", MEMORY_MB), ("stop_seconds", STOP_SECONDS)]
    broken = [f"{name} {figures[name]} > {bound}" for name, bound in bounds if figures[name] > bound]
    if figures["exit_code"] != 0:
        broken.append(f"exit code {figures['exit_code']}")
    if broken:
        sys.exit("; ".join(broken))


if __name__ == "__main__":
    main()
