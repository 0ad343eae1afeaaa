"""What a killed `readmit up` may leave: its children end by themselves, and what does not is ended here.

A pid alone proves nothing, pids are used again. Each is recorded with the kernel's start time and the boot's id, which
together name one process for ever.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.local.secrets import write_private

_PROC = Path("/proc")
_GRACE = 10.0  # seconds a service may take to stop


class ProcessRecord:
    """The file that remembers which processes are ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, pids: Mapping[str, int]) -> None:
        """Remember these, and only these."""
        known = {name: {"pid": pid, "start": _start_time(pid)} for name, pid in pids.items()}
        write_private(self._path, json.dumps({"boot": _boot_id(), "processes": known}))

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)

    def end_all(self) -> list[str]:
        """End what still runs, services before PostgreSQL, and name it."""
        alive = self._alive()
        for name, pid in alive.items():
            # PostgreSQL waits for its clients on SIGTERM; SIGINT is its fast shutdown.
            _signal(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        while self._alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in self._alive().values():
            _signal(pid, signal.SIGKILL)
        self.clear()
        return list(alive)

    def _alive(self) -> dict[str, int]:
        try:
            recorded = json.loads(self._path.read_text())
            if recorded["boot"] != _boot_id():
                return {}
            processes = {name: (entry["pid"], entry["start"]) for name, entry in recorded["processes"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return {
            name: pid for name, (pid, start) in processes.items() if start is not None and _start_time(pid) == start
        }


def command_line(pid: int) -> list[str]:
    """A process's arguments, empty when it is gone."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _start_time(pid: int) -> int | None:
    """Clock ticks since boot at the process's start, None when it is gone or a zombie (proc(5), fields 22 and 3)."""
    try:
        # The name in field 2 may hold spaces and brackets: fields are counted from its last bracket.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
