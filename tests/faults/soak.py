"""The fault test: load on a running stack, processes killed again and again, and then the ledger list."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.builders.organisation import Organisation, an_organisation
from tests.faults.evidence import Evidence, Rest, read_client, read_services
from tests.faults.inbox import SparingMailbox
from tests.faults.journal import Journal
from tests.faults.killer import Killer
from tests.faults.ledger import Verdict, judge
from tests.faults.load import Load, accounts_of, persons_of
from tests.stack import Stack, eventually, running_stack

LONGEST_SETTLING = 180.0  # seconds; a check of its own says when that is too long
_PERSONS = 60
_SECONDS_A_RECOVERY = 5.0


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do."""

    kills: int
    seed: int
    folder: Path
    kafka: str = "embedded"
    rate: float = 21.0  # a second; what fails for good during outages leaves more than the 20 that are asked for
    # Seconds between a stack that is ready and the next kill. A restart costs seconds of CPU: with shorter pauses two
    # cores fall behind with the mails, and what is measured at the end is the machine.
    shortest_pause: float = 0.5
    longest_pause: float = 6.0


@dataclass
class Outcome:
    """What became of it."""

    plan: Plan
    evidence: Evidence
    counts: dict[str, int]
    load_seconds: float
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return bool(self.verdicts) and all(verdict.holds for verdict in self.verdicts)


async def run(plan: Plan, said: Callable[[str], None] = print) -> Outcome:
    """Brings a stack up, does its worst, and judges what is left."""
    hash_key = base64.b64encode(secrets.token_bytes(32)).decode()
    settings = {
        "READMIT_HASH_KEY": hash_key,
        "READMIT_NOTIFY_MAX_PER_HOUR": "0",  # every request is a message: what is counted is not collected
        "READMIT_NOTIFY_LEVEL": "2",  # of the organisation one person: a mail a request is load enough for two cores
        "READMIT_RECOVERY_LIMIT_NETWORK": "",
        "READMIT_LOG_LEVEL": "WARNING",
    }
    options = () if plan.kafka == "embedded" else ("--kafka", plan.kafka)
    async with running_stack(plan.folder, environment=settings, mailbox=SparingMailbox(), options=options) as stack:
        return await _on(stack, plan, hash_key, said)


async def _on(stack: Stack, plan: Plan, hash_key: str, said: Callable[[str], None]) -> Outcome:
    dice = random.Random(plan.seed)
    journal = Journal(plan.folder / "accepted.jsonl")
    persons = persons_of("member", _PERSONS)
    # One each: a code ends with the next for the same account.
    patients = persons_of("patient", int(plan.kills * 15 / _SECONDS_A_RECOVERY) + 10)
    org = await _prepare(stack, journal, persons, patients)
    load = Load(stack, journal, random.Random(dice.random()), plan.rate, persons, patients, org.expert.account_id)
    killer = Killer(stack, random.Random(dice.random()))
    await load.start()
    said(f"load of {plan.rate:g} requests a second is on; {plan.kills} kills with seed {plan.seed}")
    try:
        await killer.run(plan.kills, shortest=plan.shortest_pause, longest=plan.longest_pause, said=said)
    finally:
        await load.stop()
    said(f"load ended after {load.seconds:.0f} s; waiting for the stack to come to rest")
    evidence = Evidence(kills=killer.kills, eligible={org.expert.account_id: org.expert.address})
    await settle(stack, evidence)
    journal.close()
    read_client(journal.path, evidence)
    assert isinstance(stack.mailbox, SparingMailbox)
    evidence.mails = list(stack.mailbox.mails)
    await read_services(stack, hash_key, evidence)
    outcome = Outcome(plan, evidence, dict(load.counts), load.seconds, judge(evidence))
    if killer.never_back:
        names = [f"{kill.target} at {kill.time}" for kill in killer.never_back]
        outcome.verdicts.append(Verdict("everything that was killed came back", len(killer.kills), names))
    return outcome


async def _prepare(stack: Stack, journal: Journal, persons: Sequence[str], patients: Sequence[str]) -> Organisation:
    """The organisation, known to notifier and recovery before anything is killed."""
    org = await an_organisation(stack)
    accounts = accounts_of([*persons, *patients])
    for start in range(0, len(accounts), 500):
        batch = accounts[start : start + 500]
        response = await stack.post_events(*batch)
        assert response.status_code == 202, response.text
        for item in batch:
            journal.write("event", id=item["id"], event=item)
    reference = await stack.request_help("first@load.example.org")
    journal.write("request", reference=reference, address="first@load.example.org", keyed=False)
    assert isinstance(stack.mailbox, SparingMailbox)
    await eventually(lambda: stack.mailbox.mails, 60, "the first notification")  # type: ignore[attr-defined]

    async def known() -> bool:
        response = await stack.client.get(
            f"{stack.url('recovery')}/v1/accounts/{patients[-1]}",
            headers=stack.headers(org.expert.account_id, "readmit.recover"),
        )
        return response.status_code == 200

    await eventually(known, 60, "recovery knows the accounts")
    return org


async def settle(stack: Stack, evidence: Evidence) -> None:
    """Waits until outboxes are empty and nobody lags behind, and notes how long that took."""
    rest = Rest(stack)
    started = time.monotonic()
    while time.monotonic() - started < LONGEST_SETTLING:
        evidence.outbox = await rest.outbox()
        if not any(evidence.outbox.values()):
            evidence.lag = await rest.lag()
            # Between the two looks something may have been consumed and published: both must hold at once.
            evidence.outbox = await rest.outbox()
            if not any(evidence.lag.values()) and not any(evidence.outbox.values()):
                evidence.settled_after = time.monotonic() - started
                break
        await asyncio.sleep(0.5)
    evidence.ends = await rest.ends()


def as_json(outcome: Outcome) -> str:
    """The report as a file."""
    plan, evidence = outcome.plan, outcome.evidence
    return json.dumps(
        {
            "kills": plan.kills,
            "seed": plan.seed,
            "kafka": plan.kafka,
            "seconds": round(outcome.load_seconds, 1),
            "counts": outcome.counts,
            "mails": len(evidence.mails),
            "published": len(evidence.ledger),
            "audited": len(evidence.leaves),
            "settled_after": evidence.settled_after,
            "killed": [
                {"target": kill.target, "time": kill.time, "ready_after": kill.ready_after} for kill in evidence.kills
            ],
            "checks": [
                {"name": it.name, "holds": it.holds, "looked_at": it.looked_at, "offenders": it.offenders[:50]}
                for it in outcome.verdicts
            ],
        },
        indent=2,
    )
