"""SIGTERM, under load and during the start: exit code 0 within ten seconds, nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.builders.organisation import an_organisation
from tests.engines import free_port
from tests.stack import ROOT, Stack, event, eventually, running_stack

SERVICES = ("intake", "enrichment", "notifier", "recovery", "audit")
LIMIT = 10.0  # seconds
TWICE = frozenset({"readmit_consumer_duplicates", "readmit_audit_duplicates"})
# From the first instruction to well after the group was joined, in seconds.
MOMENTS = (0.02, 0.15, 0.4, 0.8, 1.3, 2.0, 3.0, 5.0)


@pytest_asyncio.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = Path(tmp_path_factory.mktemp("stack"))
    async with running_stack(folder, environment={"READMIT_NOTIFY_MAX_PER_HOUR": "0"}) as running:
        yield running


@dataclass
class Load:
    """Requests for help and sign-ins, some of each all the time."""

    stack: Stack
    address: str
    account_id: str
    references: list[str] = field(default_factory=list)
    stopping: bool = False

    async def run(self) -> None:
        await asyncio.gather(*(self._ask(number) for number in range(3)), self._sign_in())

    async def _ask(self, number: int) -> None:
        while not self.stopping:
            with contextlib.suppress(httpx.TransportError):  # intake itself is being restarted
                self.references.append(await self.stack.request_help(self.address, ip=f"198.51.100.{number + 1}"))
            await asyncio.sleep(0.5)

    async def _sign_in(self) -> None:
        while not self.stopping:
            events = [event("signin-succeeded", self.account_id, ip="81.2.69.142", method="totp") for _ in range(20)]
            with contextlib.suppress(httpx.TransportError):
                await self.stack.post_events(*events)
            await asyncio.sleep(0.25)


async def duplicates(stack: Stack) -> dict[str, float]:
    """Events that the running processes met a second time."""
    found: dict[str, float] = {}
    for service, url in stack.ready["ops_urls"].items():
        text = (await stack.client.get(f"{url}/metrics")).text
        for family in text_string_to_metric_families(text):
            if family.name in TWICE:
                total = sum(sample.value for sample in family.samples if sample.name.endswith("_total"))
                found[service] = found.get(service, 0) + total
    return found


async def stop_and_see(stack: Stack, service: str) -> float:
    """SIGTERM to a service; the seconds that its end took."""
    stack.refresh()
    pid, log = stack.ready["pids"][service], stack.folder / "logs" / f"{service}.log"
    stopped, ended = log.read_text().count('"service.stopped"'), f"{service}: ended (0)"
    begun = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    await eventually(lambda: not Path(f"/proc/{pid}").exists(), 20, f"the end of {service}")
    took = time.monotonic() - begun
    await eventually(lambda: f"{service}: ended (" in stack.said())
    assert ended in stack.said()
    assert log.read_text().count('"service.stopped"') == stopped + 1
    return took


async def ready(stack: Stack, service: str) -> bool:
    try:
        return (await stack.client.get(f"{stack.ready['ops_urls'][service]}/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


def told(stack: Stack) -> Counter[str]:
    """Mails by reference."""
    return Counter(str(item.message["X-Readmit-Reference"]) for item in list(stack.mailbox.messages))


@pytest.mark.faults
async def test_a_service_stopped_under_load_leaves_nothing_undone_and_does_nothing_twice(stack: Stack) -> None:
    org = await an_organisation(stack)
    first = await stack.request_help(org.person.address)
    await eventually(lambda: stack.mailbox.about(first), 30, "the first mail")
    load = Load(stack, org.person.address, org.person.account_id)
    running = asyncio.create_task(load.run())
    took: dict[str, float] = {}
    try:
        for service in SERVICES:
            await asyncio.sleep(1.5)
            took[service] = await stop_and_see(stack, service)
            await eventually(lambda service=service: ready(stack, service), 60, f"{service} is ready again")  # type: ignore[misc]
            assert not running.done()
    finally:
        load.stopping = True
        await running
    assert max(took.values()) < LIMIT, took

    wanted = {reference: len(org.told) for reference in [first, *load.references]}
    assert len(wanted) > 30
    end = time.monotonic() + 120
    while not all(told(stack)[reference] >= copies for reference, copies in wanted.items()):
        missing = wanted.keys() - told(stack).keys()
        assert time.monotonic() < end, f"of {len(wanted)} nobody is told of {len(missing)}: {sorted(missing)[:5]}"
        await asyncio.sleep(0.5)
    await asyncio.sleep(2)
    counted = told(stack)
    assert {reference: counted[reference] for reference in wanted} == wanted
    assert set((await duplicates(stack)).values()) == {0.0}
    logs = "".join((stack.folder / "logs" / f"{service}.log").read_text() for service in SERVICES)
    assert "service.stop_cut_short" not in logs
    assert "Traceback" not in logs


def environment_of(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(entry.decode().split("=", 1) for entry in entries if entry)


def handles(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


async def stopped_after(service: str, seconds: float, environment: dict[str, str], number: int) -> str | None:
    """What is wrong with how a process of the service ended that was told to so soon after its start."""
    own = environment | {"READMIT_PORT": str(free_port())}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", f"services.{service}", env=own, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    reading = asyncio.ensure_future(process.communicate())
    await asyncio.sleep(seconds)
    # The interpreter itself takes a moment, more on a busy machine, before there is code of ours to handle a signal.
    fine = {0} if handles(process.pid, number) else {0, -number}
    process.send_signal(number)
    begun = time.monotonic()
    try:
        async with asyncio.timeout(20):
            output, _ = await reading
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"{service} after {seconds} s: did not end"
    where = f"{service} after {seconds} s, {time.monotonic() - begun:.1f} s later"
    said = output.decode()
    if process.returncode not in fine or "Traceback" in said or '"exception"' in said:
        return f"{where}: {process.returncode}\n{said}"
    return where if time.monotonic() - begun > LIMIT else None


@pytest.mark.parametrize("away", ["nothing", "broker", "database"])
async def test_a_service_stopped_while_it_starts_ends_at_once(stack: Stack, away: str) -> None:
    stack.refresh()
    wrong: list[str] = []
    for seconds in MOMENTS:
        attempts = []
        for service in SERVICES:
            environment = environment_of(stack.ready["pids"][service])
            if away == "broker":
                environment["READMIT_KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{free_port()}"
            if away == "database":
                name = f"READMIT_{service.upper()}_DATABASE_URL"
                environment[name] = f"postgresql://nobody:x@127.0.0.1:{free_port()}/nothing"
            attempts.append(stopped_after(service, seconds, environment, signal.SIGTERM))
        wrong += filter(None, await asyncio.gather(*attempts))
    assert not wrong, "\n".join(wrong)
