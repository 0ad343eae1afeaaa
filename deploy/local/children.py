"""Child processes that are started, watched, restarted and stopped together with `readmit up`."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import CommandError
from deploy.local.probe import Probe, wait_until
from deploy.local.spawn import kill_group, log_tail, open_log, spawn

# Seconds before each restart in a row: at once, then growing, so that a service that can't start doesn't eat a core.
_BACKOFF = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_SETTLED = 10.0  # seconds up after which a death counts as the first again
_START_ATTEMPTS = 3


async def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Program:
    """What to run, how to see that it is ready, and how to end it."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    ready: Probe
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 9.0  # seconds until SIGKILL; the whole stack has 15 s to stop
    before_start: Callable[[], Awaitable[None]] = _nothing


class Child:
    """One supervised process: restarted when it dies, until it is told to stop."""

    def __init__(
        self,
        program: Program,
        *,
        on_pid: Callable[[], None] = lambda: None,
        after_restart: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self.program = program
        self._on_pid = on_pid
        self._after_restart = after_restart
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = False
        self._ready_once = False
        self._failed_starts = 0

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int | None:
        """Of the running process; None before the first start."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and watch it from now on."""
        process = await self._spawn()
        self._watcher = asyncio.create_task(self._watch(process), name=f"watch {self.name}")

    async def until_ready(self, limit: float) -> None:
        """Return when it is ready; `CommandError` when it keeps dying or takes longer than `limit` seconds."""
        probing = asyncio.create_task(wait_until(self.program.ready, limit=limit))
        try:
            while not probing.done():
                if self._failed_starts >= _START_ATTEMPTS:
                    raise CommandError(f"{self.name} does not start. {log_tail(self.program.log)}")
                await asyncio.wait([probing], timeout=0.1)
        finally:
            probing.cancel()
        if not probing.result():
            raise CommandError(f"{self.name} is not ready after {limit:.0f} s. {log_tail(self.program.log)}")
        self._ready_once = True

    async def recycle(self) -> None:
        """End a process that runs but is no longer of use, and may be unable to stop; the watcher starts the next."""
        process = self._process
        if process is None or self._stopping:
            return
        self._signal(self.program.stop_signal)
        self.resume()
        try:
            async with asyncio.timeout(self.program.grace):
                await process.wait()
        except TimeoutError:
            kill_group(process.pid)

    def pause(self) -> None:
        """Have it stand still until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on; nothing happens to one that runs."""
        self._signal(signal.SIGCONT)

    async def stop(self, grace: float | None = None) -> None:
        """End it: asked first, killed after `grace` seconds (its program's own unless given)."""
        self._stopping = True
        if self._watcher is None:
            return
        if self._process is not None and self._process.returncode is None:
            self._signal(self.program.stop_signal)
            self.resume()
            await asyncio.wait([self._watcher], timeout=self.program.grace if grace is None else grace)
            if self._process.returncode is None:
                kill_group(self._process.pid)
                await asyncio.wait([self._watcher], timeout=1.0)
        self._watcher.cancel()
        await asyncio.wait([self._watcher])

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        deaths_in_a_row = 0
        follow_up: asyncio.Task[None] | None = None
        try:
            while True:
                started = time.monotonic()
                returncode = await process.wait()
                kill_group(process.pid)
                if follow_up is not None:
                    follow_up.cancel()
                if self._stopping:
                    return
                if not self._ready_once:
                    self._failed_starts += 1
                if time.monotonic() - started > _SETTLED:
                    deaths_in_a_row = 0
                pause = _BACKOFF[min(deaths_in_a_row, len(_BACKOFF) - 1)]
                deaths_in_a_row += 1
                self._note(f"ended ({returncode}), starting again {f'in {pause:g} s' if pause else 'at once'}")
                await asyncio.sleep(pause)
                process = await self._respawn()
                follow_up = asyncio.create_task(self._follow_up(), name=f"after restart of {self.name}")
        finally:
            if follow_up is not None:
                follow_up.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await follow_up

    async def _respawn(self) -> asyncio.subprocess.Process:
        while True:
            try:
                return await self._spawn()
            except (OSError, CommandError) as error:  # out of memory or processes: it may be better later
                self._note(f"cannot be started: {error}")
                await asyncio.sleep(_BACKOFF[-1])

    async def _follow_up(self) -> None:
        """What a restart entails (a new broker is empty), tried until it works."""
        if self._after_restart is _nothing:
            return
        failures = 0
        while True:
            await wait_until(self.program.ready, limit=60.0)
            try:
                await self._after_restart()
            except (OSError, CommandError) as error:
                self._note(f"restarted, but what follows failed: {error}")
                failures += 1
                await asyncio.sleep(_BACKOFF[min(failures, len(_BACKOFF) - 1)])
            else:
                return

    async def _spawn(self) -> asyncio.subprocess.Process:
        program = self.program
        await program.before_start()
        with open_log(program.log) as log:
            self._process = await spawn(program.argv, program.env, log, death_signal=program.stop_signal)
        self._on_pid()
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            # Not `Process.send_signal`: it looks first whether the child has ended, and then nobody else learns how
            # (gh-127049).
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _note(self, text: str) -> None:
        print(f"{self.name}: {text} (log: {self.program.log})", file=sys.stderr, flush=True)
