"""What comes out of Kafka is in the log, once, whatever it is."""

from __future__ import annotations

import json

from tests.integration.audit.conftest import Audit, golden


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
