"""What comes out of Kafka is in the log, once, whatever it is."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets

import rfc8785

from services.audit.domain.merkle import Frontier, leaf_hash, verify_consistency
from services.audit.domain.messages import Message
from services.audit.settings import AuditSettings
from tests.integration.audit.conftest import Audit, RunAudit, appender, create_topic, golden, wait_for


async def test_every_type_of_event_is_one_record_with_its_members(audit: Audit) -> None:
    events = golden()
    await audit.record_all(*events.values())

    records = await audit.records(limit=1000)
    by_type = {record["type"]: record for record in records}
    assert len(records) == len(by_type) == len(events)
    for event_type, raw in events.items():
        sent, record = json.loads(raw), by_type[event_type]
        assert record["event_id"] == sent["id"]
        assert record["data"] == sent["data"]
        assert record["actor"] == sent["data"].get("actor")
        assert record["reference_id"] == sent["data"].get("reference_id")
        assert record["subject"] == sent["data"].get("subject", sent["data"].get("account_id"))
        assert record["topic"] == audit.topic
        assert record["personal_data"] == "readable"
    assert [record["index"] for record in records] == list(range(len(records)))
    assert [record["offset"] for record in records] == list(range(len(records)))


async def test_a_message_is_recorded_once_however_often_and_wherever_it_comes(audit: Audit) -> None:
    requested, sent = golden()["readmit.assistance.requested.v1"], golden()["readmit.recovery.code-sent.v1"]
    other_topic = audit.topic.replace("recovery", "elsewhere")
    await create_topic(audit.servers, other_topic)
    await audit.record_all(requested)
    await audit.send(requested, requested)
    await audit.send(requested, topic=other_topic)
    await audit.record_all(sent)
    assert [record["type"] for record in await audit.records()] == [
        "readmit.assistance.requested.v1",
        "readmit.recovery.code-sent.v1",
    ]


async def test_other_bytes_under_the_same_id_are_a_conflict_recorded_once(audit: Audit) -> None:
    raw = golden()["readmit.recovery.code-requested.v1"]
    changed = raw.replace(b"Phone was stolen.", b"Phone was sold.")
    await audit.record_all(raw, changed)
    await audit.send(changed, raw)
    last = golden()["readmit.recovery.code-sent.v1"]
    await audit.record_all(last)

    first, conflict, after = await audit.records()
    assert first["data"]["details"] == "Phone was stolen."
    assert conflict["type"] == "readmit.audit.conflict.v1"
    assert conflict["event_id"] == first["event_id"]
    assert conflict["data"]["conflicts_with"] == first["index"]
    assert conflict["data"]["event_type"] == first["type"]
    assert conflict["data"]["data"]["details"] == "Phone was sold."
    assert after["type"] == "readmit.recovery.code-sent.v1"


async def test_what_can_not_be_decoded_is_a_record_with_its_bytes(audit: Audit) -> None:
    broken = [
        b"no json",
        b"\xff\xfe\x00",
        b"",
        b'{"specversion":"1.0","id":"1"}',
        b"[" * 5000,
        golden()["readmit.recovery.code-sent.v1"].replace(b'"recovery-code"', b"7"),
    ]
    await audit.record_all(*broken, None)
    records = await audit.records("type:readmit.audit.unparsed.v1")
    assert len(records) == len(broken) + 1
    for record, raw in zip(records, [*broken, b""], strict=True):
        assert record["type"] == "readmit.audit.unparsed.v1"
        assert base64.b64decode(record["data"]["raw"]) == raw
        assert record["data"]["size"] == len(raw)
        assert (await audit.get(f"/v1/records/{record['index']}/raw")).content == raw
    assert records[-2]["data"]["event_type"] == "readmit.recovery.code-sent.v1"


async def test_an_unknown_type_is_a_record_like_others(audit: Audit) -> None:
    document = json.loads(golden()["readmit.recovery.code-sent.v1"])
    document |= {"type": "readmit.recovery.code-printed.v9", "id": "x-1"}
    document["data"] |= {"printer": "LP1", "copies": 2.5}
    await audit.record_all(json.dumps(document).encode())
    (record,) = await audit.records("type:readmit.recovery.code-printed.*")
    assert record["data"] == document["data"]
    assert record["subject"] == document["data"]["subject"]


async def test_what_is_too_large_for_an_entry_is_kept_beside_it(audit: Audit) -> None:
    document = json.loads(golden()["readmit.recovery.code-sent.v1"])
    # Random, so that compression doesn't make it small.
    document["data"]["extra"] = [secrets.token_urlsafe(1000) for _ in range(200)]
    raw = json.dumps(document).encode()
    await audit.record_all(raw)
    (record,) = await audit.records()
    assert record["data"] == document["data"]
    assert (await audit.get("/v1/records/0/raw")).content == raw
    ((length,),) = await audit.fetch("SELECT octet_length(entry) FROM entries")
    assert length < 65_536
    assert len(await audit.fetch("SELECT 1 FROM payloads")) == 1


async def test_a_new_topic_is_read_within_fifteen_seconds_and_dead_letters_never(audit: Audit) -> None:
    new, dead = audit.topic.replace("recovery", "new"), audit.topic.replace("recovery", "new") + ".x.events.dlt"
    raw = golden()["readmit.recovery.code-sent.v1"]
    for topic, event_id in ((dead, b"in-dead-letters"), (new, b"in-new-topic")):
        await create_topic(audit.servers, topic)
        await audit.send(raw.replace(b"01938f2a-7c1e-7b3d-9a44-000000000016", event_id), topic=topic)

    async def is_recorded() -> bool:
        return await audit.size() > 0

    await wait_for(is_recorded, 15)
    await audit.record_all(golden()["readmit.assistance.requested.v1"])
    assert {record["topic"] for record in await audit.records()} == {new, audit.topic}


async def test_a_restart_goes_on_where_it_stopped(run_audit: RunAudit) -> None:
    events = list(golden().values())
    async with run_audit() as first:
        await first.record_all(*events[:10])
        before = (await first.get("/checkpoint")).text
    async with run_audit() as second:
        await second.send(*events[:10])
        await second.record_all(*events[10:])
        assert [record["event_id"] for record in await second.records()] == [json.loads(raw)["id"] for raw in events]
        size = int(before.split("\n")[1])
        proof = (await second.get("/v1/consistency", **{"from": size, "to": len(events)})).json()["proof"]
        after = (await second.get("/checkpoint")).text.split("\n")
    verify_consistency(
        size,
        len(events),
        base64.b64decode(before.split("\n")[2]),
        base64.b64decode(after[2]),
        [base64.b64decode(item) for item in proof],
    )


async def test_a_broker_that_began_anew_is_told_from_a_redelivery(audit: Audit, settings: AuditSettings) -> None:
    events = list(golden().values())

    def at(offset: int, timestamp: int, raw: bytes) -> Message:
        return Message(audit.topic, 9, offset, timestamp, raw)

    async with appender(settings) as append:
        await append([at(5, 1000, events[0]), at(6, 1001, events[1])])
        again = await append([at(5, 1000, events[0]), at(6, 1001, events[1]), at(7, 1002, events[2])])
        assert (again.duplicates, again.skipped_offsets) == (2, 0)
        anew = await append([at(0, 2000, events[0]), at(1, 2001, events[3]), at(4, 2002, events[4])])
        assert (anew.duplicates, anew.skipped_offsets) == (1, 2)
    rows = await audit.fetch('SELECT incarnation, "offset" FROM entries ORDER BY index')
    assert [tuple(row) for row in rows] == [(0, 5), (0, 6), (0, 7), (1, 1), (1, 4)]


async def test_two_writers_at_once_make_one_log(audit: Audit, settings: AuditSettings) -> None:
    events = list(golden().values())[:20]
    batches = [[Message(audit.topic, 9, n, n, raw)] for n, raw in enumerate(events)]
    # Each gets every batch, in its own order: every event is recorded by whichever comes first.
    async with appender(settings) as first, appender(settings) as second:
        for batch, other in zip(batches, reversed(batches), strict=True):
            await asyncio.gather(first(batch), second(other))
    records = await audit.records(limit=1000)
    assert sorted(record["event_id"] for record in records) == sorted(json.loads(raw)["id"] for raw in events)
    frontier = Frontier()
    for record in records:
        frontier.append(base64.b64decode(record["leaf_hash"]))
    assert base64.b64decode((await audit.get("/checkpoint")).text.split("\n")[2]) == frontier.root


async def test_every_entry_is_the_leaf_that_it_says_and_its_columns_are_its_members(audit: Audit) -> None:
    await audit.record_all(*golden().values())
    rows = await audit.fetch("SELECT * FROM entries ORDER BY index")
    chains: dict[str, str] = {}
    for row in rows:
        entry = json.loads(row["entry"])
        assert leaf_hash(row["entry"]) == row["leaf_hash"]
        assert rfc8785.dumps(entry) == row["entry"]
        for name in ("type", "reference_id", "actor", "subject", "outcome", "reason"):
            assert row[name] == entry.get(name)
        for name in ("service", "topic", "partition", "offset", "incarnation"):
            assert row[name] == entry["source"][name]
        if row["reference_id"] is not None:
            assert entry["chain"]["previous"] == chains.get(row["reference_id"])
            chains[row["reference_id"]] = base64.b64encode(row["leaf_hash"]).decode()
