"""What must hold of everything that a stack ever did, however often and in whichever order its messages came."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from tests.builders.organisation import Organisation, an_organisation
from tests.stack import Stack, account, event, eventually, readmit


async def each(stack: Stack, query: str) -> dict[str, Any]:
    found = {}
    for service, url in stack.ready["databases"].items():
        connection = await asyncpg.connect(url)
        try:
            found[service] = await connection.fetch(query)
        finally:
            await connection.close()
    return found


async def published(stack: Stack) -> set[tuple[str, str]]:
    """(source, id) of everything in the ledgers."""
    ledgers = await each(stack, "SELECT source, event_id FROM ledger WHERE topic NOT LIKE '%.dlt'")
    return {(row["source"], row["event_id"]) for rows in ledgers.values() for row in rows}


async def until_settled(stack: Stack) -> list[dict[str, Any]]:
    """Waits until nothing is under way, which audit's own reading must not disturb; returns all audit records."""

    async def settled() -> bool:
        async def waits(query: str) -> bool:
            return any(rows[0][0] for rows in (await each(stack, query)).values())

        if await waits("SELECT count(*) FROM outbox WHERE queue IN ('relay', 'refill')"):
            return False
        ids = {event_id for _, event_id in await published(stack)}
        audit = await asyncpg.connect(stack.ready["databases"]["audit"])
        try:
            recorded = {row[0] for row in await audit.fetch("SELECT event_id FROM event_keys")}
        finally:
            await audit.close()
        return ids <= recorded

    await eventually(settled, 60, what="everything that was published is recorded")
    return await stack.records()


async def copies(stack: Stack) -> Counter[tuple[str, str]]:
    """How often each event is in the topics."""
    consumer = AIOKafkaConsumer(bootstrap_servers=[stack.ready["kafka"]], auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.subscribe([name for name in await consumer.topics() if re.match(r"readmit\..*\.v1$", name)])
        found: Counter[tuple[str, str]] = Counter()
        quiet = 0
        while quiet < 5:
            batch = await consumer.getmany(timeout_ms=400)
            quiet = 0 if batch else quiet + 1
            for records in batch.values():
                for record in records:
                    body = json.loads(record.value)
                    found[body["source"], body["id"]] += 1
        return found
    finally:
        await consumer.stop()


async def busy_hour(stack: Stack) -> Organisation:
    """Requests and changes that cross one another."""
    org = await an_organisation(stack)
    person = org.person
    begun = datetime.now(UTC) - timedelta(hours=1)
    changes = [
        event("locked", person.account_id, at=begun),
        event("unlocked", person.account_id, at=begun + timedelta(minutes=1)),
        event("backup-codes-changed", person.account_id, at=begun, change="used", unused=3),
        event("two-factor-changed", person.account_id, at=begun, change="removed"),
        account(person.account_id, person.address, at=begun + timedelta(minutes=2), display_name="Newest Name"),
        *(
            event("signin-failed", person.account_id, at=begun + timedelta(minutes=n), ip="192.0.2.9", failure="locked")
            for n in range(10)
        ),
    ]
    answers: list[Awaitable[Any]] = [stack.post_events(change) for change in changes]
    answers += [stack.request_help(person.address) for _ in range(5)]
    answers += [stack.request_help(f"stranger-{n}.{org.tag}@example.org") for n in range(5)]
    references = []
    for answer in await asyncio.gather(*answers):
        if isinstance(answer, str):
            references.append(answer)
        else:
            assert isinstance(answer, httpx.Response)
            assert answer.status_code == 202
    everybody = len(org.told)
    await eventually(lambda: all(len(stack.mailbox.about(one)) >= everybody for one in references), 60, "every mail")
    return org


async def test_everything_has_its_effect_once(stack: Stack) -> None:
    org = await busy_hour(stack)
    records = await until_settled(stack)
    times = Counter(item["event_id"] for item in records)
    assert {event_id: count for event_id, count in times.items() if count > 1} == {}, "an event is recorded twice"
    by_reference: dict[str, list[str]] = {}
    for item in records:
        if item["type"] == "readmit.assistance.requested.v1":
            by_reference.setdefault(item["reference_id"], [])
    for mail in stack.mailbox.messages:
        if reference := mail.message["X-Readmit-Reference"]:
            by_reference[str(reference)] += mail.recipients
    for reference, recipients in by_reference.items():
        assert len(recipients) == len(set(recipients)), f"somebody was told of {reference} twice"
    theirs = [recipients for recipients in by_reference.values() if set(org.told) <= set(recipients)]
    assert len(theirs) >= 10, "both administrators are told of each of the ten requests"


async def test_projections_are_those_of_a_calm_run(stack: Stack) -> None:
    """A rebuild folds each event once, ledger after ledger: its digests are of the events, not of how they came."""
    await busy_hour(stack)
    await until_settled(stack)
    for service in ("enrichment", "notifier", "recovery"):
        exit_code, said = await readmit(stack, "rebuild", service, "--check", "--json")
        assert exit_code == 0, said
        outcome = json.loads(said)
        assert outcome["equal"] is True
        assert outcome["unknown"] == 0
        assert outcome["events"] > 10
        assert all(table["after"]["rows"] for table in outcome["tables"]), said


async def test_every_message_is_published_as_often_as_it_should_be(
    stack: Stack, request: pytest.FixtureRequest
) -> None:
    """Else the tests above would prove nothing on the second stack."""
    await an_organisation(stack)
    await until_settled(stack)
    found = await copies(stack)
    ledger = await published(stack)
    assert set(found) >= ledger
    if request.node.callspec.params["stack"] == "disorder":
        assert min(found[key] for key in ledger) == 2
