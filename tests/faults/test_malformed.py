"""Malformed records, one among ten valid ones, block nobody, and all come back byte for byte.

A thousand of them unless READMIT_TEST_MALFORMED says how many (`make test-malformed`: ten thousand). They are produced
past intake, right into the topics of a running `readmit up`, as somebody with a key to the broker could.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from shared.schemas.topics import Topic
from tests.builders.malformed import Records
from tests.builders.records import BATCH_BYTES, RawRecord, send_raw
from tests.stack import READMIT, ROOT, Stack, account, eventually, running_stack

MALFORMED = int(os.environ.get("READMIT_TEST_MALFORMED", "1000"))
VALID_EACH = 10
SEED = int(os.environ.get("READMIT_TEST_SEED", "20261124"))
HUGE = 5 * 1024 * 1024
SECONDS = 120 + MALFORMED * 0.12  # a batch of 500 takes half a second where the machine is shared

# Who reads what, as the contract's picture has it. Audit reads everything and parks nothing.
READERS = {
    Topic.IDENTITY_ACCOUNTS: ("enrichment", "notifier", "recovery"),
    Topic.IDENTITY_ACTIVITY: ("enrichment", "notifier", "recovery"),
    Topic.ASSISTANCE_REQUESTS: ("enrichment", "recovery"),
    Topic.ASSISTANCE_ENRICHED: ("notifier", "recovery"),
    Topic.RECOVERY_ACTIONS: ("enrichment",),
    Topic.ASSISTANCE_NOTIFICATIONS: (),
    Topic.AUDIT_ACCESS: (),
}
PARTITIONS = {Topic.IDENTITY_ACTIVITY: 6, Topic.AUDIT_ACCESS: 1}  # the others have three
Place = tuple[str, int, int]


@dataclass
class Sent:
    """What was produced, by place: topic, partition, offset."""

    malformed: dict[Place, RawRecord] = field(default_factory=dict)
    kinds: dict[Place, str] = field(default_factory=dict)
    unknown: set[Place] = field(default_factory=set)
    valid: dict[Place, str] = field(default_factory=dict)  # event ids
    accounts: set[str] = field(default_factory=set)
    signins: int = 0
    refused: int = 0  # by the broker, for their size


@dataclass(frozen=True)
class Item:
    """A record to send: its kind, and for a valid one the event's id."""

    kind: str
    record: RawRecord
    event_id: str = ""


def traffic(records: Records, sent: Sent) -> Iterator[tuple[Topic, Item]]:
    """Malformed ones of every kind in turn, each with valid ones and now and then one of an unknown type around it."""
    chance, kinds, topics = random.Random(SEED), sorted(records.kinds), list(READERS)
    for number in range(MALFORMED):
        kind = kinds[number % len(kinds)]
        yield topics[chance.randrange(len(topics))], Item(kind, records.malformed(kind))
        if number % 20 == 0:
            yield Topic.IDENTITY_ACCOUNTS, Item("unknown", records.unknown())
        for each in range(VALID_EACH):
            account_id = f"v-{number}-{each % 5}"
            event = records.account(account_id) if each < 5 else records.signin(account_id)
            sent.accounts.add(account_id)
            sent.signins += each >= 5
            topic = Topic.IDENTITY_ACCOUNTS if each < 5 else Topic.IDENTITY_ACTIVITY
            yield topic, Item("valid", records.valid(event), event["id"])


async def produce(producer: AIOKafkaProducer, records: Records) -> Sent:
    sent = Sent()
    waiting: dict[tuple[Topic, int], list[Item]] = {}
    chance = random.Random(SEED)
    for topic, item in traffic(records, sent):
        partition = chance.randrange(PARTITIONS.get(topic, 3))
        batch = waiting.setdefault((topic, partition), [])
        if batch and (len(batch) == 200 or sum(one.record.size for one in batch) + item.record.size > BATCH_BYTES):
            await _send(producer, topic, partition, batch, sent)
            batch.clear()
        batch.append(item)
    for (topic, partition), batch in waiting.items():
        await _send(producer, topic, partition, batch, sent)
    for topic in (Topic.IDENTITY_ACCOUNTS, Topic.ASSISTANCE_REQUESTS, Topic.AUDIT_ACCESS):
        huge = [RawRecord(b"{" + b"x" * HUGE, b"huge")]
        try:
            await _send(producer, topic, 0, [Item("huge", huge[0])], sent)
        except MessageSizeTooLargeError:
            sent.refused += 1  # Apache Kafka keeps to `max.message.bytes`; the embedded broker takes it
    return sent


async def _send(producer: AIOKafkaProducer, topic: Topic, partition: int, batch: list[Item], sent: Sent) -> None:
    first = await send_raw(producer, topic.value, partition, [item.record for item in batch])
    for offset, item in enumerate(batch, first):
        place = (topic.value, partition, offset)
        if item.kind == "valid":
            sent.valid[place] = item.event_id
        elif item.kind == "unknown":
            sent.unknown.add(place)
        else:
            sent.malformed[place], sent.kinds[place] = item.record, item.kind


async def query(stack: Stack, service: str, sql: str) -> list[Any]:
    connection = await asyncpg.connect(stack.ready["databases"][service])
    try:
        return list(await connection.fetch(sql))
    finally:
        await connection.close()


async def command(stack: Stack, *arguments: str) -> bytes:
    """`readmit dead-letters …` beside the stack."""
    databases = {f"READMIT_{name.upper()}_DATABASE_URL": url for name, url in stack.ready["databases"].items()}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("READMIT_")}
    process = await asyncio.create_subprocess_exec(
        *READMIT, "dead-letters", *arguments, env=clean | databases, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said


async def told_of(stack: Stack, address: str) -> None:
    """Somebody asks for help, and the administrator is told: everything in between works."""
    reference = await stack.request_help(address)
    await eventually(lambda: stack.mailbox.about(reference), SECONDS, f"the message about {reference}")


async def wait_for_effects(stack: Stack, sent: Sent) -> None:
    """Every valid record has its effect in each service that reads it, every malformed one is parked, all recorded."""
    ids = set(sent.valid.values())
    letters = {
        service: sum(service in READERS[Topic(place[0])] for place in sent.malformed)
        for service in ("enrichment", "notifier", "recovery")
    }
    for service, count in letters.items():

        async def parked(service: str = service, count: int = count) -> bool:
            (row,) = await query(stack, service, "SELECT count(*) AS n FROM dead_letters")
            return bool(row["n"] == count)

        await eventually(parked, SECONDS, f"{count} dead letters of {service}")
    prefix = "account_id LIKE 'v-%'"
    for service in letters:

        async def projected(service: str = service) -> bool:
            rows = await query(stack, service, f"SELECT account_id FROM accounts WHERE {prefix}")
            return {row["account_id"] for row in rows} == sent.accounts

        await eventually(projected, SECONDS, f"the accounts of {service}")

    async def counted() -> bool:
        (row,) = await query(
            stack, "enrichment", f"SELECT coalesce(sum(count), 0) AS n FROM seen WHERE kind = 'ip' AND {prefix}"
        )
        return bool(row["n"] == sent.signins)

    await eventually(counted, SECONDS, f"{sent.signins} sign-ins counted once each")

    async def recorded() -> bool:
        rows = await query(stack, "audit", 'SELECT topic, partition, "offset" FROM entries')
        places = Counter((row["topic"], row["partition"], row["offset"]) for row in rows)
        return {*sent.malformed, *sent.valid, *sent.unknown} <= set(places) and max(places.values()) == 1

    await eventually(recorded, SECONDS, "one audit record a record")
    assert ids <= {row["event_id"] for row in await query(stack, "audit", "SELECT event_id FROM event_keys")}
    unparsed = await query(stack, "audit", "SELECT 1 FROM entries WHERE type = 'readmit.audit.unparsed.v1'")
    assert len(unparsed) == len(sent.malformed)


async def compare_letters(stack: Stack, sent: Sent) -> int:
    """Each letter that the command lists is the record as it was sent; returns how many there were."""
    lines = (await command(stack, "list", "--json", "--bytes")).splitlines()
    expected = {(f"{service}.events", *place) for place in sent.malformed for service in READERS[Topic(place[0])]}
    found = set()
    for line in lines:
        letter = json.loads(line)
        place = (letter["topic"], letter["partition"], letter["offset"])
        record = sent.malformed[place]
        value, key = (decoded(letter[name]) for name in ("value_base64", "key_base64"))
        headers = [(decoded(item["name_base64"]), decoded(item["value_base64"])) for item in letter["headers"]]
        assert (value, key, headers) == (record.value, record.key, list(record.headers)), letter["id"]
        assert letter["kind"] == "malformed", letter
        assert letter["size"] == (None if record.value is None else len(record.value))
        found.add((letter["group"], *place))
    assert found == expected
    assert len(lines) == len(expected)
    await show_some(stack, sent, [json.loads(line) for line in lines])
    return len(lines)


async def show_some(stack: Stack, sent: Sent, letters: list[dict[str, Any]]) -> None:
    by_kind = {sent.kinds[(item["topic"], item["partition"], item["offset"])]: item for item in letters}
    for kind in {"null", "empty", "raw_nul", "noise", "huge"} & by_kind.keys():
        item = by_kind[kind]
        record = sent.malformed[(item["topic"], item["partition"], item["offset"])]
        assert await command(stack, "show", item["id"], "--raw") == (record.value or b"")


def decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


@pytest.mark.faults
@pytest.mark.timeout(int(SECONDS * 4))
async def test_malformed_records_block_nobody_and_all_come_back(tmp_path: Path) -> None:
    async with running_stack(tmp_path) as stack:
        await stack.post_events(
            account("admin-1", "admin-1@example.org", data_protection_access=3),
            account("person-1", "person-1@example.org"),
        )
        await told_of(stack, "person-1@example.org")
        producer = AIOKafkaProducer(
            bootstrap_servers=stack.ready["kafka"], acks="all", max_request_size=2 * HUGE, max_batch_size=2 * HUGE
        )
        await producer.start()
        began = time.monotonic()
        try:
            during = asyncio.create_task(told_of(stack, "person-1@example.org"))
            sent = await produce(producer, Records(SEED))
        finally:
            await producer.stop()
        produced = time.monotonic()
        await during
        await wait_for_effects(stack, sent)
        settled = time.monotonic()
        assert len(sent.malformed) == MALFORMED + 3 - sent.refused
        assert len(sent.valid) == MALFORMED * VALID_EACH
        letters = await compare_letters(stack, sent)
        compared = time.monotonic()
        await told_of(stack, "person-1@example.org")
        await nothing_is_wrong(stack)
        print(  # noqa: T201  # the figures of the run
            f"{len(sent.malformed)} malformed of {len(set(sent.kinds.values()))} kinds among {len(sent.valid)} valid: "
            f"produced in {produced - began:.1f} s, all settled {settled - produced:.1f} s later; "
            f"{letters} letters read and compared in {compared - settled:.1f} s"
        )


async def nothing_is_wrong(stack: Stack) -> None:
    """Every service is ready, none is braked, and nothing waits to be published."""
    async with httpx.AsyncClient(trust_env=False) as client:
        for service, url in stack.ready["ops_urls"].items():
            answer = await client.get(f"{url}/health/ready")
            assert answer.status_code == 200, (service, answer.json())
            assert {name for name in answer.json().get("notes", {}) if not name.startswith("GeoIP")} == set(), service

    async def relayed() -> bool:
        counts = [await query(stack, name, "SELECT 1 FROM outbox LIMIT 1") for name in stack.ready["databases"]]
        return not any(counts)

    await eventually(relayed, 60, "empty outboxes")
