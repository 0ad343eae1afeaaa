"""The HTTP interface of contract section 8."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from services.audit.domain.merkle import verify_consistency, verify_inclusion
from services.audit.domain.notes import CheckpointSigner, open_checkpoint
from services.audit.domain.query import KEYS
from services.audit.settings import AuditSettings
from tests.integration.audit.conftest import Audit, golden

REFERENCE = "RA-7K2M-9QXT-5"
MEMBERS = {
    *("index", "leaf_hash", "event_id", "type", "occurred_at", "recorded_at", "service", "topic", "partition"),
    *("offset", "reference_id", "actor", "on_behalf_of", "subject", "outcome", "reason", "data"),
}
EVENTS = {event_type: json.loads(raw) for event_type, raw in golden().items()}


def data_of(event_type: str) -> dict[str, Any]:
    data: dict[str, Any] = EVENTS[event_type]["data"]
    return data


def types_where(condition: Any) -> set[str]:
    return {event_type for event_type in EVENTS if condition(event_type, data_of(event_type))}


def mentions(text: str) -> set[str]:
    return {event_type for event_type, raw in golden().items() if f'"{text}"'.encode() in raw}


async def test_each_key_finds_what_it_says(audit: Audit) -> None:
    await audit.record_all(*golden().values())
    address, ip = "robin.vega@customer.example.org", "203.0.113.57"
    expected = {
        "type:readmit.recovery.code-sent.v1": {"readmit.recovery.code-sent.v1"},
        "type:readmit.recovery.*": {name for name in EVENTS if name.startswith("readmit.recovery.")},
        f"ref:{REFERENCE}": mentions(REFERENCE) - {"readmit.audit.queried.v1", "readmit.audit.exported.v1"},
        "ref:RA-7K*": types_where(lambda _, data: data.get("reference_id", "").startswith("RA-7K")),
        "actor:acct-0007": types_where(lambda _, data: data.get("actor") == "acct-0007"),
        "subject:acct-1042": types_where(lambda _, data: data.get("subject", data.get("account_id")) == "acct-1042"),
        "outcome:denied": types_where(lambda _, data: data.get("outcome") == "denied"),
        "reason:lost-device": types_where(lambda _, data: data.get("reason") == "lost-device"),
        "reason:lost-*": types_where(lambda _, data: data.get("reason", "").startswith("lost-")),
        "service:recovery": set(EVENTS),
        "service:not*": set(),
        f"ip:{ip}": mentions(ip),
        f"email:{address}": mentions(address),
        "email:ROBIN.VEGA@Customer.Example.org": mentions(address),
        "occurred:2026-11-24": types_where(lambda name, _: EVENTS[name]["time"].startswith("2026-11-24")),
        "occurred:2026-11-25..": types_where(lambda name, _: EVENTS[name]["time"] >= "2026-11-25"),
        "-type:readmit.*": set(),
        "-outcome:success -outcome:failure": types_where(
            lambda name, data: data.get("outcome") not in ("success", "failure") and "signin" not in name
        ),
        f"email:{address} -subject:acct-1042": mentions(address)
        - types_where(lambda _, data: data.get("subject", data.get("account_id")) == "acct-1042"),
        "": set(EVENTS),
    }
    assert {query.partition(":")[0].lstrip("-") for query in expected if query} >= set(KEYS)
    for query, types in expected.items():
        found = await audit.records(query, limit=1000)
        assert {record["type"] for record in found} == types, query
        assert [record["index"] for record in found] == sorted(record["index"] for record in found)
    # The expectations are worth something.
    assert all(expected[query] for query in (f"ip:{ip}", f"email:{address}", f"ref:{REFERENCE}", "outcome:denied"))


async def test_a_record_has_the_members_of_the_contract(audit: Audit) -> None:
    await audit.record_all(golden()["readmit.recovery.code-requested.v1"])
    (record,) = await audit.records()
    assert set(record) >= MEMBERS
    assert len(base64.b64decode(record["leaf_hash"])) == 32
    assert record["occurred_at"] == "2026-11-24T01:43:05.000000Z"
    assert (await audit.get("/v1/records/0")).json() == record
    for missing in ("1", "x", "-1", "1.0", "9" * 30):
        assert (await audit.get(f"/v1/records/{missing}")).status_code == 404


async def test_a_reference_tells_its_whole_story_in_order(audit: Audit) -> None:
    await audit.record_all(*golden().values())
    expected = [name for name in golden() if data_of(name).get("reference_id") == REFERENCE]
    for spelling in (REFERENCE, "ra-7k2m-9qxt-5", "RA7K2M9QXT5", "RA 7K2M 9QXT 5"):
        story = (await audit.get(f"/v1/references/{spelling}")).json()
        assert story["reference_id"] == REFERENCE
        assert [record["type"] for record in story["records"]] == expected
    for bad in ("RA-7K2M-9QXT-6", "x", "RA-7K2M"):
        response = await audit.get(f"/v1/references/{bad}")
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/problem+json"
    assert (await audit.get("/v1/references/RA-0000-0000-0")).status_code == 404


async def test_a_story_is_told_as_it_happened_even_when_topics_overtake_one_another(audit: Audit) -> None:
    requested, sent = golden()["readmit.assistance.requested.v1"], golden()["readmit.recovery.code-sent.v1"]
    later = sent.replace(b'"time": "2026-11-24T01:43:05Z"', b'"time": "2026-11-24T01:43:05.000001Z"')
    assert later != sent
    await audit.record_all(later, requested)
    story = (await audit.get(f"/v1/references/{REFERENCE}")).json()["records"]
    assert [record["index"] for record in story] == [1, 0]


async def test_pages_stay_as_they_were_while_the_log_grows(audit: Audit) -> None:
    events = list(golden().values())
    await audit.record_all(*events[:20])
    first = (await audit.get("/v1/records", q="-type:x", limit=7)).json()
    await audit.record_all(*events[20:])
    second = (await audit.get("/v1/records", q="-type:x", limit=7, cursor=first["next"])).json()
    third = (await audit.get("/v1/records", q="-type:x", limit=1000, cursor=second["next"])).json()
    again = (await audit.get("/v1/records", q="-type:x", limit=7, cursor=first["next"])).json()

    indexes = [record["index"] for page in (first, second, third) for record in page["records"]]
    assert indexes == list(range(20))
    assert third["next"] is None
    assert {page["tree_size"] for page in (first, second, third)} == {20}
    assert again == second
    assert (await audit.get("/v1/records")).json()["tree_size"] == len(events)


async def test_a_changed_cursor_is_refused(audit: Audit) -> None:
    await audit.record_all(*list(golden().values())[:5])
    cursor = (await audit.get("/v1/records", limit=2)).json()["next"]
    assert (await audit.get("/v1/records", cursor=cursor)).status_code == 200
    for changed in (cursor[:-1], cursor[1:], "x" + cursor[1:], cursor + "A", cursor.split(".")[0], "x", "ä.ö"):
        assert (await audit.get("/v1/records", cursor=changed)).status_code == 400, changed
    assert (await audit.get("/v1/records", q="outcome:denied", cursor=cursor)).status_code == 400


@pytest.mark.parametrize(
    "params",
    [{"limit": 0}, {"limit": 1001}, {"limit": "ten"}, {"limit": -1}, {"q": "lost"}, {"q": 'type:"'}, {"q": "ip:x"}],
)
async def test_bad_input_is_a_problem(audit: Audit, params: dict[str, Any]) -> None:
    response = await audit.get("/v1/records", **params)
    assert response.status_code == 400
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["title"]) == (400, "Bad Request")


async def test_an_unknown_key_is_answered_with_those_there_are(audit: Audit) -> None:
    problem = (await audit.get("/v1/records", q="colour:red")).json()
    assert problem["keys"] == list(KEYS)
    assert all(key in problem["detail"] for key in KEYS)


async def test_every_call_needs_a_token_with_the_scope(audit: Audit) -> None:
    await audit.record_all(golden()["readmit.recovery.code-sent.v1"])
    for path in (
        "/v1/records",
        "/v1/records?q=colour:red",
        "/v1/records/0",
        "/v1/records/0/raw",
        "/v1/records/0/proof",
        f"/v1/references/{REFERENCE}",
        "/checkpoint",
        "/v1/consistency?from=0&to=0",
    ):
        response = await audit.client.get(path, headers={"Authorization": ""})
        assert response.status_code == 401, path
        assert response.headers["www-authenticate"].startswith("Bearer")
        token = audit.tokens.issue("readmit.recover readmit.audit.export")
        response = await audit.client.get(path, headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 403, path
    assert await audit.fetch("SELECT 1 FROM ledger") == []


async def test_reading_is_one_event_and_proving_is_none(audit: Audit) -> None:
    await audit.record_all(*golden().values())
    calls = {
        "/v1/records?q=outcome:denied": ("GET /v1/records", "outcome:denied"),
        f"/v1/references/{REFERENCE.lower()}": ("GET /v1/references/{reference_id}", f"ref:{REFERENCE}"),
        "/v1/records/3": ("GET /v1/records/{index}", "index 3"),
    }
    for path in calls:
        assert (await audit.client.get(path)).status_code == 200
    for path in ("/checkpoint", "/v1/records/0/proof", "/v1/consistency?from=1&to=2", "/v1/records?q=colour:red"):
        await audit.client.get(path)
    rows = await audit.fetch("SELECT topic, key, value FROM ledger ORDER BY id")
    events = [json.loads(row["value"]) for row in rows]
    assert {row["topic"] for row in rows} == {"readmit.audit.access.v1"}
    assert [(event["data"]["endpoint"], event["data"]["query"]) for event in events] == list(calls.values())
    assert {event["data"]["actor"] for event in events} == {"auditor-1"}

    # Recorded, they are found, and nothing more comes of it.
    await audit.record_all(*(row["value"] for row in rows))
    assert len(await audit.fetch("SELECT 1 FROM ledger")) == len(calls)
    assert len(await audit.records("type:readmit.audit.queried.* actor:auditor-1")) == len(calls)


async def test_every_record_is_proved_by_the_checkpoint(audit: Audit, settings: AuditSettings) -> None:
    signer = CheckpointSigner(settings.audit_origin, settings.audit_signing_key.blocks)
    assert open_checkpoint((await audit.get("/checkpoint")).text, signer.verifier_key).size == 0
    events = list(golden().values())
    await audit.record_all(*events[:5])
    old = open_checkpoint((await audit.get("/checkpoint")).text, signer.verifier_key)
    await audit.record_all(*events[5:])
    for record in await audit.records(limit=1000):
        proof = (await audit.get(f"/v1/records/{record['index']}/proof")).json()
        checkpoint = open_checkpoint(proof["checkpoint"], signer.verifier_key)
        assert (proof["tree_size"], proof["leaf_hash"]) == (checkpoint.size, record["leaf_hash"])
        verify_inclusion(
            record["index"],
            checkpoint.size,
            base64.b64decode(record["leaf_hash"]),
            [base64.b64decode(item) for item in proof["proof"]],
            checkpoint.root,
        )
    body = (await audit.get("/v1/consistency", **{"from": old.size, "to": checkpoint.size})).json()
    verify_consistency(
        old.size, checkpoint.size, old.root, checkpoint.root, [base64.b64decode(item) for item in body["proof"]]
    )
    assert (await audit.get(f"/v1/records/{checkpoint.size}/proof")).status_code == 404
    for query in ("from=2&to=1", "from=0&to=999", "from=x&to=1", "to=1", "from=-1&to=1"):
        assert (await audit.client.get(f"/v1/consistency?{query}")).status_code == 400


async def test_health_and_metrics_say_how_it_is(audit: Audit) -> None:
    await audit.record_all(*golden().values(), b"broken")
    assert (await audit.client.get("/health/ready", headers={"Authorization": ""})).json()["status"] == "ready"
    metrics = (await audit.client.get("/metrics", headers={"Authorization": ""})).text
    for name in (
        'readmit_audit_records_total{kind="event"}',
        'readmit_audit_records_total{kind="unparsed"}',
        "readmit_audit_last_recorded_seconds",
        "readmit_audit_tree_size",
    ):
        assert name in metrics
    paths = (await audit.client.get("/openapi.json")).json()["paths"]
    assert {"/v1/records", "/v1/references/{reference_id}", "/v1/records/{index}/proof", "/checkpoint"} <= set(paths)
