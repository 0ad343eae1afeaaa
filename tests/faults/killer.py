"""Kills processes of a running stack with SIGKILL, by a seed, and notes how long each takes to be back."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from tests.stack import Stack

SERVICES = ("intake", "enrichment", "notifier", "recovery", "audit")
TARGETS = (*SERVICES, "broker", "postgres")
_TWO_AT_ONCE = 0.15  # of the strikes
_IMPATIENT = 0.25  # of the strikes come before the stack is ready again
_POLL = 0.15  # seconds
LONGEST_RECOVERY = 120.0  # seconds; what is not back by then stays away


@dataclass
class Kill:
    """One SIGKILL."""

    target: str
    pid: int
    at: float  # time.monotonic()
    time: str
    ready_after: float | None = None  # seconds until the whole stack was ready; None where another kill came before


@dataclass
class Killer:
    """Strikes until so many kills are done."""

    stack: Stack
    dice: random.Random
    kills: list[Kill] = field(default_factory=list)
    never_back: list[Kill] = field(default_factory=list)

    async def run(self, count: int, *, shortest: float, longest: float, said: Callable[[str], None]) -> None:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            while len(self.kills) < count:
                await asyncio.sleep(self.dice.uniform(shortest, longest))
                struck = await self._strike(min(count - len(self.kills), 2))
                await self._until(lambda these=struck: self._replaced(these))  # type: ignore[misc]
                last = len(self.kills) == count
                if self.dice.random() < _IMPATIENT and not last:
                    said(self._line(struck, None))
                    continue
                back = await self._until(lambda: self._ready(client))
                for kill in struck:
                    kill.ready_after = time.monotonic() - kill.at if back else None
                if not back:
                    self.never_back += struck
                said(self._line(struck, struck[0].ready_after))

    async def _strike(self, at_most: int) -> list[Kill]:
        number = 2 if self.dice.random() < _TWO_AT_ONCE and at_most > 1 else 1
        struck = []
        for target in self.dice.sample(TARGETS, number):
            # Read at once before: a pid that has died meanwhile is noticed, not killed again.
            pid = await self._living(target)
            os.kill(pid, signal.SIGKILL)
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            struck.append(Kill(target, pid, time.monotonic(), now))
        self.kills += struck
        return struck

    async def _living(self, target: str) -> int:
        end = time.monotonic() + LONGEST_RECOVERY
        while True:
            pid = int(self._pids()[target])
            with suppress(ProcessLookupError):
                os.kill(pid, 0)
                return pid
            assert time.monotonic() < end, f"{target} was not started again"
            await asyncio.sleep(_POLL)

    def _pids(self) -> dict[str, int]:
        self.stack.refresh()
        return dict(self.stack.ready["pids"])

    async def _replaced(self, kills: list[Kill]) -> bool:
        pids = self._pids()
        return all(pids.get(kill.target) not in {None, kill.pid} for kill in kills)

    async def _ready(self, client: httpx.AsyncClient) -> bool:
        for service in SERVICES:
            try:
                answer = await client.get(f"{self.stack.ready['ops_urls'][service]}/health/ready")
            except httpx.TransportError:
                return False
            if answer.status_code != 200:
                return False
            # Intake does without Kafka, so its readiness says nothing of the broker.
            if service == "intake" and "no connection" in json.dumps(answer.json()):
                return False
        return True

    @staticmethod
    async def _until(condition: Callable[[], object]) -> bool:
        end = time.monotonic() + LONGEST_RECOVERY
        while time.monotonic() < end:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return True
            await asyncio.sleep(_POLL)
        return False

    def _line(self, struck: list[Kill], seconds: float | None) -> str:
        names = " and ".join(kill.target for kill in struck)
        back = f"ready again after {seconds:.1f} s" if seconds is not None else "next kill before it was ready"
        return f"{len(self.kills):>4} {struck[0].time[11:19]} {names}: {back}"
