"""One trial of a failpoint: the story that passes it, told by clients that ask again, and what must hold afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.builders.organisation import Organisation
from tests.faults.evidence import Evidence, read_services
from tests.faults.inbox import SparingMailbox
from tests.faults.killer import SERVICES, Kill
from tests.faults.ledger import Verdict, judge
from tests.faults.soak import settle
from tests.stack import CODE, ROOT, Stack, account, event, eventually, free_port_base

PATIENCE = 60.0  # seconds for what may have to wait for a restart, and for the lease of a killed worker
_PAUSE = 0.1


@dataclass
class Grounds:
    """A running stack on which all failpoints can be armed, and what has been asked of it so far."""

    stack: Stack
    org: Organisation
    fired: Path
    hash_key: str
    evidence: Evidence = field(default_factory=Evidence)

    def pid(self, service: str) -> int:
        self.stack.refresh()
        return int(self.stack.ready["pids"][service])

    def arm(self, point: str) -> None:
        """Until its file is there again, the point kills whoever passes it."""
        (self.fired / point).unlink()

    def has_fired(self, point: str) -> bool:
        return (self.fired / point).exists()

    async def ask(
        self, service: str, path: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx.Response, bool]:
        """What a service answers, asked again while it is away; and whether an answer was lost before."""
        lost, end = False, time.monotonic() + PATIENCE
        while True:
            try:
                response = await self.stack.client.post(
                    self.stack.url(service) + path,
                    content=json.dumps(body),
                    headers={"Content-Type": "application/json", **(headers or {})},
                )
                if response.status_code != 503:
                    return response, lost
            except httpx.ConnectError:
                pass
            except httpx.TransportError:
                lost = True
            assert time.monotonic() < end, f"{service} did not come back"
            await asyncio.sleep(_PAUSE)

    async def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> httpx.Response | None:
        """None while the service is away."""
        try:
            return await self.stack.client.get(url, headers=headers)
        except httpx.TransportError:
            return None

    async def answers(self, url: str, headers: Mapping[str, str] | None = None) -> bool:
        response = await self.fetch(url, headers)
        return response is not None and response.status_code == 200

    async def is_ready(self) -> bool:
        self.stack.refresh()
        return all([await self.answers(f"{self.stack.ready['ops_urls'][name]}/health/ready") for name in SERVICES])


async def tell_story(grounds: Grounds, after_accounts: Callable[[], Any] | None = None) -> None:
    """A new person is reported, asks for help, is sent a code and uses it; what was accepted is noted as evidence."""
    stack, evidence, expert = grounds.stack, grounds.evidence, grounds.org.expert.account_id
    person = f"patient-{uuid4().hex[:8]}"
    address = f"{person}@example.org"

    reported = [account(person, address), *(event("signin-succeeded", person, ip="81.2.69.142") for _ in range(2))]
    headers = stack.headers("platform", "readmit.events") | {"Content-Type": "application/cloudevents-batch+json"}
    response, _ = await grounds.ask("intake", "/v1/events", reported, headers)
    assert response.status_code == 202, response.text
    evidence.events |= {item["id"]: item for item in reported}
    if after_accounts is not None:
        await after_accounts()
    admin = stack.headers(expert, "readmit.recover")
    known = f"{stack.url('recovery')}/v1/accounts/{person}"
    await eventually(lambda: grounds.answers(known, admin), PATIENCE, "recovery knows the person")

    response, _ = await grounds.ask(
        "intake",
        "/v1/assistance-requests",
        {"email": address, "issue": "lost-2fa", "client": {"ip": "198.51.100.7"}},
        stack.headers("platform", "readmit.requests") | {"Idempotency-Key": str(uuid4())},
    )
    assert response.status_code == 202, response.text
    reference = str(response.json()["reference_id"])
    evidence.accepted[reference] = address
    await eventually(lambda: _told(grounds, reference), PATIENCE, "both administrators are told")

    # Whoever got no answer to a right code can't know whether it was used up, and asks for another.
    while not await _recover(grounds, person, address, reference, admin):
        pass
    await eventually(lambda: _audited(grounds, reference), PATIENCE, "audit tells the story")


def _told(grounds: Grounds, reference: str) -> bool:
    told = {to for mail in _mailbox(grounds).mails if mail.reference == reference for to in mail.recipients}
    return told >= set(grounds.org.told)


def _mailbox(grounds: Grounds) -> SparingMailbox:
    assert isinstance(grounds.stack.mailbox, SparingMailbox)
    return grounds.stack.mailbox


async def _recover(grounds: Grounds, person: str, address: str, reference: str, admin: Mapping[str, str]) -> bool:
    """Whether a grant was had. A code that no lost answer explains must work, and no code works twice."""
    seen = len(grounds.stack.mailbox.to(address))
    body = {"reason": "lost-device", "reference_id": reference}
    key = {"Idempotency-Key": str(uuid4())}
    response, _ = await grounds.ask("recovery", f"/v1/accounts/{person}/recovery-codes", body, {**admin, **key})
    assert response.status_code == 202, response.text
    action = str(response.json()["action_id"])
    grounds.evidence.actions[action] = person

    def code() -> str | None:
        for mail in grounds.stack.mailbox.to(address)[seen:]:
            if found := CODE.search(mail.text):
                return found[0]
        return None

    wanted = {"email": address, "code": await eventually(code, PATIENCE, "a code is mailed")}
    wanted |= {"actions": ["reset-password"]}
    response, lost = await grounds.ask("recovery", "/v1/recovery-codes/redeem", wanted)
    granted = response.status_code == 200
    assert granted or (lost and response.status_code == 400), response.text
    again, _ = await grounds.ask("recovery", "/v1/recovery-codes/redeem", wanted)
    assert again.status_code == 400, "a code worked twice"
    if granted:
        grounds.evidence.redeemed.add(action)
    return granted


async def _audited(grounds: Grounds, reference: str) -> bool:
    """Reading is recorded, so audit publishes too."""
    url = f"{grounds.stack.url('audit')}/v1/references/{reference}"
    response = await grounds.fetch(url, grounds.stack.headers("auditor", "readmit.audit"))
    records = response.json()["records"] if response is not None and response.status_code == 200 else []
    return "readmit.recovery.code-redeemed.v1" in {record["type"] for record in records}


@contextlib.asynccontextmanager
async def another_replica(grounds: Grounds, service: str) -> AsyncIterator[None]:
    """A second process of the service, as the first is, but on a port of its own and with nothing armed."""
    environ = Path(f"/proc/{grounds.pid(service)}/environ").read_bytes().decode().split("\0")
    settings = dict(item.split("=", 1) for item in environ if item)
    settings |= {"READMIT_PORT": str(free_port_base(1)), "READMIT_FAILPOINTS": ""}
    log = (grounds.stack.folder / "logs" / f"{service}-replica.log").open("ab")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", f"services.{service}", env=settings, cwd=ROOT, stdout=log, stderr=log
    )
    log.close()
    try:
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 15)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run_trial(grounds: Grounds, point: str) -> list[Verdict]:
    """Arms the point, tells the story, and judges everything that this stack was ever asked."""
    service = point.partition(".")[0]
    await eventually(grounds.is_ready, PATIENCE, "the stack is ready")
    before = grounds.pid(service)
    grounds.arm(point)

    async def fired() -> None:
        await eventually(lambda: grounds.has_fired(point), PATIENCE, f"{point} is passed")

    if point.endswith(".during-rebalance"):
        async with another_replica(grounds, service):
            await tell_story(grounds, after_accounts=fired)
    else:
        await tell_story(grounds)
        await fired()
    await eventually(lambda: grounds.pid(service) != before, PATIENCE, f"{service} was killed")
    assert not _lives(before)
    moment = (grounds.fired / point).stat().st_mtime
    at = time.monotonic() - (time.time() - moment)
    grounds.evidence.kills.append(Kill(service, before, at, datetime.fromtimestamp(moment, UTC).isoformat()))
    await eventually(grounds.is_ready, PATIENCE, "everything is ready again")
    return await judged(grounds)


async def judged(grounds: Grounds) -> list[Verdict]:
    """The ledger list over all that there is; what was asked is kept, what the services say is read anew."""
    asked = grounds.evidence
    evidence = replace(
        Evidence(),
        accepted=asked.accepted,
        events=asked.events,
        actions=asked.actions,
        redeemed=asked.redeemed,
        kills=asked.kills,
        eligible=asked.eligible,
        mails=list(_mailbox(grounds).mails),
    )
    await settle(grounds.stack, evidence)
    evidence.mails = list(_mailbox(grounds).mails)
    await read_services(grounds.stack, grounds.hash_key, evidence)
    return judge(evidence)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
