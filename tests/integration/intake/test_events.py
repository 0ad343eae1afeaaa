"""`POST /v1/events`: all or nothing, once, durable."""

from __future__ import annotations

import asyncio
import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.kit.addresses import AddressHasher
from shared.kit.settings import KeyRing
from shared.schemas import identity
from shared.schemas.registry import decode
from tests.integration.intake.conftest import Intake

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
_numbers = itertools.count()


def an_event(kind: str, data: dict[str, Any], /, **changes: Any) -> dict[str, Any]:
    values = {
        "specversion": "1.0",
        "id": f"e-{next(_numbers):06}",
        "source": "https://id.example.org",
        "type": f"readmit.identity.{kind}.v1",
        "time": datetime.now(UTC).isoformat(),
        "data": data,
    } | changes
    return {name: value for name, value in values.items() if value is not None}


def signin(account_id: str = "u-1", /, **changes: Any) -> dict[str, Any]:
    return an_event("signin-succeeded", {"account_id": account_id, "ip": "192.0.2.9"}, **changes)


def one_of_each() -> list[dict[str, Any]]:
    account = {
        "account_id": "u-1", "email": "a@example.org", "display_name": "A", "status": "active",
        "two_factor_enabled": True, "unused_backup_codes": 3, "data_protection_access": 0, "expert_mode": False,
    }  # fmt: skip
    who = {"account_id": "u-1"}
    return [
        an_event("account", account, subject="u-1"),
        signin(),
        an_event("signin-failed", {**who, "ip": "192.0.2.9", "failure": "bad-password"}),
        an_event("signin-failed", {"email": "Nobody@example.org", "ip": "192.0.2.9", "failure": "unknown-account"}),
        an_event("password-changed", who),
        an_event("email-changed", {**who, "old": "a@example.org", "new": "b@example.org"}),
        an_event("two-factor-changed", {**who, "change": "removed"}),
        an_event("backup-codes-changed", {**who, "change": "used", "unused": 2}),
        an_event("locked", who),
        an_event("unlocked", {**who, "ip": "2001:db8::1"}),
        an_event("account-removed", who),
    ]


async def post(client: httpx.AsyncClient, content: Any, kind: str | None = None) -> httpx.Response:
    kind = kind if kind is not None else BATCH if isinstance(content, list) else ONE
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return await client.post("/v1/events", content=raw, headers={"Content-Type": kind})


async def test_every_type_is_accepted_and_published_on_its_topic(intake: Intake) -> None:
    events = one_of_each()
    assert {event["type"] for event in events} == {model.type_name() for model in identity.EVENTS}
    answer = await post(intake.platform(), events)
    assert (answer.status_code, answer.json()) == (202, {"accepted": len(events)})
    rows = await intake.rows("SELECT * FROM ledger ORDER BY id")
    assert [row["event_id"] for row in rows] == [event["id"] for event in events]
    for row in rows:
        assert decode(row["value"]).to_bytes() == row["value"]
        on_accounts = row["type"] in {"readmit.identity.account.v1", "readmit.identity.account-removed.v1"}
        assert row["topic"] == f"readmit.identity.{'accounts' if on_accounts else 'activity'}.v1"
    hashed = AddressHasher(KeyRing((b"k" * 32,)))("nobody@example.org")
    assert [row["key"] for row in rows] == ["u-1"] * 3 + [hashed] + ["u-1"] * 7
    assert [row["subject"] for row in rows] == ["u-1"] * 3 + [None] + ["u-1"] * 7


async def test_a_single_event_is_accepted(intake: Intake) -> None:
    answer = await post(intake.platform(), signin())
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    assert (await post(intake.platform(), [])).json() == {"accepted": 0}


async def test_a_thousand_are_one_transaction_and_two_relay_batches(intake: Intake) -> None:
    events = [signin(f"u-{number}") for number in range(1000)]
    answer = await post(intake.platform(), events)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1000})
    (row,) = await intake.rows("SELECT count(*) AS n, count(DISTINCT xmin::text) AS transactions FROM ledger")
    assert (row["n"], row["transactions"]) == (1000, 1)


async def test_every_bad_event_is_named_and_none_is_kept(shared_intake: Intake) -> None:
    good, future = signin(), (datetime.now(UTC) + timedelta(minutes=5, seconds=30)).isoformat()
    bad: list[Any] = [
        an_event("signin-vanished", {"account_id": "u-1"}),
        an_event("x", {}, type="readmit.assistance.requested.v1"),
        an_event("x", {}, type="org.example.anything"),
        signin(time=future),
        signin(time="yesterday"),
        signin(time=None),
        signin(id=None),
        signin(id=""),
        signin(source=None),
        signin(source="/readmit/intake"),
        signin(type=None),
        signin(specversion="0.3"),
        signin(data=None),
        signin(data=[]),
        signin(subject="u-2"),
        an_event("signin-succeeded", {"account_id": 7, "ip": "192.0.2.9"}),
        an_event("signin-succeeded", {"account_id": "u-1", "ip": "somewhere"}),
        an_event("signin-failed", {"ip": "192.0.2.9", "failure": "bad-password"}),
        an_event("signin-failed", {"account_id": "u-1", "ip": "192.0.2.9", "failure": "bad-luck"}),
        an_event("password-changed", {"account_id": "u\u0000-1"}),
        7,
        None,
        "event",
        [],
    ]
    batch = [good, *bad, signin()]
    answer = await post(shared_intake.platform(), batch)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    errors = answer.json()["errors"]
    assert [error["index"] for error in errors] == list(range(1, len(bad) + 1))
    assert all(isinstance(error["reason"], str) and error["reason"] for error in errors)
    assert "somewhere" not in answer.text  # values are not repeated
    assert "5 minutes" in errors[3]["reason"]
    assert await shared_intake.rows("SELECT 1 FROM ledger") == []
    assert await shared_intake.rows("SELECT 1 FROM outbox") == []


async def test_a_single_bad_event_is_the_first(shared_intake: Intake) -> None:
    answer = await post(shared_intake.platform(), signin(time="yesterday"))
    assert answer.status_code == 422
    assert [error["index"] for error in answer.json()["errors"]] == [0]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (415, b"[]", "application/json"),
        (415, b"[]", ""),
        (400, b"", ONE),
        (400, b"[", BATCH),
        (400, b"[{}", BATCH),
        (400, b"\xff", BATCH),
        (422, b"{}", BATCH),
        (422, b"[]", ONE),
        (422, b'[{"id":"a","id":"b"}]', BATCH),
        (422, b"[" + b"[" * 100 + b"]" * 100 + b"]", BATCH),
        (413, b"[" + b" " * (4 * 1024 * 1024) + b"]", BATCH),
        (413, b'{"data":"' + b"x" * 32 * 1024 + b'"}', ONE),
        (413, b"[" + b",".join([b"{}"] * 1001) + b"]", BATCH),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_bad_bodies(shared_intake: Intake, status: int, body: bytes, kind: str) -> None:
    answer = await post(shared_intake.platform(), body, kind)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert await shared_intake.rows("SELECT 1 FROM ledger") == []


async def test_who_may_post(shared_intake: Intake) -> None:
    assert (await post(shared_intake.client(), signin())).status_code == 401
    assert (await post(shared_intake.client(Authorization="Bearer x.y.z"), signin())).status_code == 401
    assert (await post(shared_intake.platform("readmit.requests"), signin())).status_code == 403
    # Before the body is looked at, whatever it is.
    assert (await post(shared_intake.client(), b"{", "text/plain")).status_code == 401


async def test_the_same_event_again_has_no_effect(intake: Intake) -> None:
    client, event = intake.platform(), signin()
    for batch in (
        event,
        [event, event],
        [event, signin(), event],
        {**event, "data": {**event["data"], "ip": "192.0.2.1"}},
    ):
        answer = await post(client, batch)
        assert answer.status_code == 202
        assert answer.json() == {"accepted": len(batch) if isinstance(batch, list) else 1}
    other_source = {**event, "source": "https://other.example.org"}
    assert (await post(client, other_source)).status_code == 202
    assert len(await intake.rows("SELECT 1 FROM ledger")) == 3
    (first,) = [
        stored for stored in await intake.events() if (stored["source"], stored["id"]) == (event["source"], event["id"])
    ]
    assert first["data"]["ip"] == "192.0.2.9"


async def test_batches_at_once_that_overlap_are_all_accepted(intake: Intake) -> None:
    """Written in the orders they are sent in, they deadlock in PostgreSQL."""
    client, events = intake.platform(), [signin() for _ in range(300)]
    batches = [events, events[::-1], events[100:] + events[:100], events[::-1], events]
    answers = await asyncio.gather(*(post(client, batch) for batch in batches))
    assert [answer.status_code for answer in answers] == [202] * 5
    assert len(await intake.rows("SELECT 1 FROM ledger")) == 300


async def test_what_is_not_ours_is_left_out(intake: Intake) -> None:
    event = an_event("password-changed", {"account_id": "u-1", "password": "hunter2"}, comexample="x")
    assert (await post(intake.platform(), event)).status_code == 202
    (row,) = await intake.rows("SELECT value FROM ledger")
    assert b"hunter2" not in row["value"]
    assert b"comexample" not in row["value"]


async def test_a_clock_a_little_ahead_is_forgiven(intake: Intake) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    assert (await post(intake.platform(), signin(time=soon))).status_code == 202
