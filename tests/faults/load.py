"""The load: requests for help, identity events and recoveries, by clients that list what was accepted.

A refused connection or a 503 is tried again. Where the answer was lost, a client with an idempotency key asks again
with the same key; one without a key notes that it does not know, and goes on.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx

from tests.faults.journal import Journal
from tests.stack import CODE, Stack, account, event

ISSUES = ("lost-2fa", "forgotten-password", "locked-out", "other")
_PAUSE = 0.25  # seconds before a refused attempt is made again
_AT_ONCE = 96  # requests of one client on their way; more than that waits its turn
_HEADERS = {"Content-Type": "application/json"}


class Gate:
    """Closed while a service is away: one client looks whether it is back, and the others wait for that.

    Each of a hundred clients trying four times a second would take the core that the restart needs.
    """

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._looking = False

    async def passed(self) -> None:
        await self._open.wait()

    async def refused(self, url: str) -> None:
        """Returns when something listens there again."""
        self._open.clear()
        if self._looking:
            await self._open.wait()
            return
        self._looking = True
        host, _, port = url.rpartition("/")[2].partition(":")
        try:
            while not await listens(host, int(port)):
                await asyncio.sleep(_PAUSE)
        finally:
            self._looking = False
            self._open.set()


async def listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


@dataclass
class Load:
    """Runs until `stop`; what it counts is read afterwards."""

    stack: Stack
    journal: Journal
    dice: random.Random
    rate: float  # requests for help a second
    persons: list[str]  # account ids for sign-ins and account changes
    patients: list[str]  # account ids for one recovery each
    expert: str
    counts: Counter[str] = field(default_factory=Counter)
    started: float = 0.0
    seconds: float = 0.0  # how long the load was kept up

    def __post_init__(self) -> None:
        self._ending = asyncio.Event()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []
        self._gates = {"intake": Gate(), "recovery": Gate()}
        limits = httpx.Limits(max_connections=_AT_ONCE + 8, max_keepalive_connections=32)
        self._client = httpx.AsyncClient(timeout=10, trust_env=False, limits=limits)

    async def start(self) -> None:
        self.started = time.monotonic()
        loops = (self._ask_for_help(), self._report_events(), self._recover())
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        """Begins nothing new and waits for what was begun; recoveries that hang are left."""
        self.seconds = time.monotonic() - self.started
        self._ending.set()
        done, pending = await asyncio.wait(self._tasks, timeout=60)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await self._client.aclose()
        for task in done:
            task.result()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)

    # -- requests for help

    async def _ask_for_help(self) -> None:
        """At a steady rate whatever becomes of each: people don't wait for our restarts before they need help."""
        async with asyncio.TaskGroup() as group:
            number = 0
            while not self._ending.is_set():
                await self._slots.acquire()
                group.create_task(self._ask_once(number, keyed=number % 2 == 0))
                number += 1
                await self._sleep(max(0.0, self.started + number / self.rate - time.monotonic()))

    async def _ask_once(self, number: int, *, keyed: bool) -> None:
        address = f"caller-{number}@load.example.org"
        try:
            headers = _HEADERS | ({"Idempotency-Key": str(UUID(int=self.dice.getrandbits(128)))} if keyed else {})
            body = json.dumps({"email": address, "issue": ISSUES[number % 4]})
            self.counts["requests attempted"] += 1
            response = await self._until_answered("/v1/assistance-requests", body, headers, again=keyed)
            if response is None:
                self.counts["requests unknown"] += 1
                self.journal.write("unknown", address=address)
            elif response.status_code == 202:
                reference = response.json()["reference_id"]
                self.journal.write("request", reference=reference, address=address, keyed=keyed)
                self.counts["requests accepted"] += 1
            else:
                self.counts[f"requests answered {response.status_code}"] += 1
                self.journal.write("refused", what=address, status=response.status_code)
        except asyncio.CancelledError:
            self.journal.write("unknown", address=address)
            raise
        finally:
            self._slots.release()

    async def _until_answered(
        self, path: str, body: str, headers: dict[str, str], *, again: bool, service: str = "intake"
    ) -> httpx.Response | None:
        """The answer; None when an attempt's outcome is unknown and it must not be made `again`."""
        base, gate = self.stack.url(service), self._gates[service]
        while True:
            await gate.passed()
            try:
                response = await self._client.post(base + path, content=body, headers=headers)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
                self.counts["connections refused"] += 1
                await gate.refused(base)
                continue
            except httpx.TransportError:
                self.counts["answers lost"] += 1
                if not again:
                    return None
            else:
                if response.status_code < 500:
                    return response
                self.counts[f"answers {response.status_code}"] += 1
                if response.status_code != 503:
                    self.journal.write("refused", what=f"{service}{path}", status=response.status_code)
                # Nearly always nothing was written; a database that died while it committed can't say.
                if not again:
                    return None
            await asyncio.sleep(_PAUSE)

    # -- identity events

    async def _report_events(self) -> None:
        changes = 0
        while not self._ending.is_set():
            batch = [
                event("signin-succeeded", self.dice.choice(self.persons), ip=f"81.2.69.{self.dice.randrange(1, 40)}")
                for _ in range(3)
            ]
            batch.append(event("signin-failed", self.dice.choice(self.persons), ip="192.0.2.9", failure="bad-password"))
            person = self.dice.choice(self.persons)
            changes += 1
            batch.append(account(person, f"{person}@example.org", display_name=f"Version {changes}"))
            headers = self.stack.headers("platform", "readmit.events")
            headers["Content-Type"] = "application/cloudevents-batch+json"
            # The same ids again have no effect, so what is not known is simply sent again.
            response = await self._until_answered("/v1/events", json.dumps(batch), headers, again=True)
            if response is None or response.status_code != 202:
                self.journal.write("refused", what="a batch of events", status=response and response.status_code)
                continue
            for item in batch:
                self.journal.write("event", id=item["id"], event=item)
            self.counts["events accepted"] += len(batch)
            await self._sleep(1.0)

    # -- recoveries

    async def _recover(self) -> None:
        async with asyncio.TaskGroup() as group:
            for patient in self.patients:
                if self._ending.is_set():
                    return
                group.create_task(self._recover_one(patient))
                await self._sleep(5.0)

    async def _recover_one(self, patient: str) -> None:
        """An administrator sends a code; the person redeems it, once."""
        headers = _HEADERS | {"Idempotency-Key": str(UUID(int=self.dice.getrandbits(128)))}
        headers |= self.stack.headers(self.expert, "readmit.recover")
        path = f"/v1/accounts/{patient}/recovery-codes"
        body = json.dumps({"reason": "lost-device", "details": "fault test"})
        response = await self._until_answered(path, body, headers, again=True, service="recovery")
        if response is None or response.status_code != 202:
            self.journal.write("refused", what=path, status=response and response.status_code)
            return
        action = response.json()["action_id"]
        self.journal.write("action", action=action, patient=patient)
        self.counts["recoveries asked for"] += 1
        code = await self._code_for(f"{patient}@example.org", seconds=45)
        if code is None:
            self.counts["recoveries whose code was not awaited"] += 1
            return
        wanted = json.dumps({"email": f"{patient}@example.org", "code": code, "actions": ["reset-password"]})
        lost = self.counts["answers lost"]
        answer = await self._until_answered(
            "/v1/recovery-codes/redeem", wanted, _HEADERS, again=True, service="recovery"
        )
        assert answer is not None
        if answer.status_code == 200:
            self.journal.write("redeemed", action=action)
            self.counts["recoveries redeemed"] += 1
        elif self.counts["answers lost"] > lost:
            self.counts["recoveries with an unknown end"] += 1
        else:
            self.counts[f"redemptions answered {answer.status_code}"] += 1
            self.journal.write("not redeemed", action=action, status=answer.status_code)

    async def _code_for(self, address: str, seconds: float) -> str | None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._ending.is_set():
            for mail in self.stack.mailbox.to(address):
                if found := CODE.search(mail.text):
                    return found[0]
            await asyncio.sleep(0.5)
        return None


def persons_of(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def accounts_of(ids: list[str], *, at: datetime | None = None) -> list[dict[str, Any]]:
    """Their first account events."""
    return [account(item, f"{item}@example.org", at=at or datetime.now(UTC)) for item in ids]
