"""How every child process is made: a group of its own, and gone when `readmit up` is."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from deploy.errors import CommandError

_PR_SET_PDEATHSIG = 1
_LOG_LIMIT = 10 * 1024 * 1024  # bytes; the log of the runs before is set aside then

# PyDLL keeps the interpreter lock: between fork and exec there is nobody to give it back.
_libc = ctypes.PyDLL(None) if sys.platform == "linux" else None


async def spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    output: IO[bytes] | None,
    *,
    death_signal: signal.Signals = signal.SIGTERM,
) -> asyncio.subprocess.Process:
    """Start a program; `output` takes both its streams (None: they are ours). `death_signal` reaches it when we die."""
    parent = os.getpid()

    def die_with_parent() -> None:
        # Runs between fork and exec: nothing but system calls here.
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:
            os._exit(1)

    stream = output.fileno() if output is not None else None
    return await asyncio.create_subprocess_exec(
        *argv,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stream,
        stderr=stream,
        # Its own group: Ctrl-C reaches `up` alone, which then stops everything in order.
        start_new_session=True,
        preexec_fn=die_with_parent,
    )


def open_log(path: Path) -> IO[bytes]:
    """A log file to append to; what grew too long is set aside as `.log.1`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def log_tail(path: Path, lines: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        end = path.read_bytes()[-8192:].decode(errors="replace").splitlines()[-lines:]
    except OSError:
        end = []
    return f"The end of {path}:\n" + "\n".join(f"  {line}" for line in end)


def kill_group(pid: int) -> None:
    """Kill what is left of a child's process group (`start_new_session` gave the group the child's pid)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def run_to_end(argv: Sequence[str], env: Mapping[str, str], log: Path | None, *, what: str) -> None:
    """Run a program that ends by itself; `CommandError` when it fails. Cancelling kills it."""
    if log is None:
        process = await spawn(argv, env, None)
    else:
        with open_log(log) as output:
            process = await spawn(argv, env, output)
    try:
        returncode = await process.wait()
    finally:
        if process.returncode is None:
            kill_group(process.pid)
            await process.wait()
    if returncode != 0:
        raise CommandError(f"{what} failed ({returncode}). {log_tail(log) if log is not None else ''}".rstrip())
