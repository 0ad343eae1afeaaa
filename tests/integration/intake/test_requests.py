"""`POST /v1/assistance-requests`: from the request to the message on the topic, or to nothing at all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from shared.kit.addresses import AddressHasher
from shared.kit.settings import KeyRing
from shared.schemas import reference
from shared.schemas.intake import AssistanceRequested
from shared.schemas.registry import decode
from tests.engines import free_port
from tests.integration.intake.conftest import Intake, StartIntake
from tests.integration.kit.conftest import wait_for

PATH = "/v1/assistance-requests"
REQUEST = {"email": "amelia@example.org", "issue": "lost-2fa"}


async def messages(intake: Intake, topic: str, wanted: set[str], seconds: float = 20) -> dict[str, Any]:
    """The messages of a topic whose event ids are wanted, once they are all there."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=intake.servers, auto_offset_reset="earliest")
    await consumer.start()
    found: dict[str, Any] = {}
    try:
        end = asyncio.get_running_loop().time() + seconds
        while wanted - set(found):
            assert asyncio.get_running_loop().time() < end, f"{len(wanted - set(found))} messages are missing"
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    if (identity := json.loads(record.value)["id"]) in wanted:
                        assert identity not in found, "a message came twice"
                        found[identity] = record
    finally:
        await consumer.stop()
    return found


async def test_an_accepted_request_becomes_a_message(intake: Intake) -> None:
    answer = await intake.client("2001:db8::7", **{"User-Agent": "Lynx"}).post(PATH, json=REQUEST)
    assert answer.status_code == 202
    name = answer.json()["reference_id"]
    assert reference.parse(name) == name
    (stored,) = await intake.events()
    record = (await messages(intake, "readmit.assistance.requests.v1", {stored["id"]}))[stored["id"]]
    event = decode(record.value)
    assert isinstance(event, AssistanceRequested)
    assert record.value == event.to_bytes()
    assert record.key.decode() == event.data.email_hash == AddressHasher(KeyRing((b"k" * 32,)))(REQUEST["email"])
    assert dict(record.headers)["content-type"] == b"application/cloudevents+json"
    assert event.data.reference_id == name
    assert (event.data.email, event.data.issue.value) == (REQUEST["email"], REQUEST["issue"])
    assert (event.data.ip, event.data.user_agent, event.data.actor) == ("2001:db8::7", "Lynx", "anonymous")
    assert event.data.suppressed_before is None
    (row,) = await intake.rows("SELECT * FROM requests")
    assert (row["reference_id"], row["email_hash"]) == (name, event.data.email_hash)
    assert "amelia" not in str(dict(row))


async def test_the_message_is_in_the_language_asked_for(intake: Intake) -> None:
    client = intake.client()
    answers = {
        language: await client.post(PATH, json=REQUEST, headers={"Accept-Language": language})
        for language in ("en", "de-CH", "ar", "fr")
    }
    texts = {language: answer.json()["message"] for language, answer in answers.items()}
    assert texts["en"].startswith("We have received") and texts["fr"] == texts["en"]  # noqa: PT018
    assert texts["de-CH"].startswith("Wir haben")
    assert "طلبك" in texts["ar"]
    assert [answer.headers["content-language"] for answer in answers.values()] == ["en", "de", "ar", "en"]
    assert [event["data"]["language"] for event in await intake.events()] == ["en", "de", "ar", "en"]


BAD: list[tuple[int, bytes, str]] = [
    (415, b'{"email":"a@example.org","issue":"other"}', "text/plain"),
    (415, b"email=a%40example.org&issue=other", "application/x-www-form-urlencoded"),
    (400, b"", "application/json"),
    (400, b"{", "application/json"),
    (400, b'{"email":"a@example.org","issue":"other"} x', "application/json"),
    (400, b'{"email":"a@example.org","email":"b@example.org","issue":"other"}', "application/json"),
    (400, b'{"email":"\xff","issue":"other"}', "application/json"),
    (400, b'{"email":"a\\ud800@example.org","issue":"other"}', "application/json"),
    (400, b"[" * 10_000, "application/json"),
    (413, b'{"email":"' + b"a" * 17_000 + b'","issue":"other"}', "application/json"),
    (422, b"[]", "application/json"),
    (422, b"null", "application/json"),
    (422, b"{}", "application/json"),
    (422, b'{"email":"a@example.org"}', "application/json"),
    (422, b'{"issue":"other"}', "application/json"),
    (422, b'{"email":"a@example.org","issue":"lost"}', "application/json"),
    (422, b'{"email":"a@example.org","issue":null}', "application/json"),
    (422, b'{"email":"a@example.org","issue":["other"]}', "application/json"),
    (422, b'{"email":null,"issue":"other"}', "application/json"),
    (422, b'{"email":7,"issue":"other"}', "application/json"),
    (422, b'{"email":"","issue":"other"}', "application/json"),
    (422, b'{"email":"amelia","issue":"other"}', "application/json"),
    (422, b'{"email":"' + b"a" * 64 + b"@" + b"b" * 60 + b"." + b"c" * 60 + b"." + b"d" * 60 + b"." + b"e" * 8
     + b'","issue":"other"}', "application/json"),
    (422, b'{"email":"a@example.org","issue":"other","details":"please"}', "application/json"),
    (422, b'{"email":"a@example.org","issue":"other","reference_id":"RA-7K2M-9QXT-5"}', "application/json"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), BAD)
async def test_bad_input_is_a_problem_and_nothing_else(
    shared_intake: Intake, status: int, body: bytes, kind: str
) -> None:
    before = await shared_intake.rows("SELECT 1 FROM ledger")
    answer = await shared_intake.client().post(PATH, content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert {"type", "title"} <= set(problem)
    for table in ("requests", "outbox", "idempotency_keys"):
        assert await shared_intake.rows(f"SELECT 1 FROM {table}") == []
    assert await shared_intake.rows("SELECT 1 FROM ledger") == before == []


async def test_the_body_is_measured_while_it_comes(shared_intake: Intake) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 1024

    answer = await shared_intake.client().post(PATH, content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


async def test_who_may_say_where_a_user_is(shared_intake: Intake) -> None:
    body = {**REQUEST, "client": {"ip": "192.0.2.9"}}
    for client in (shared_intake.client(), shared_intake.platform("readmit.events")):
        answer = await client.post(PATH, json=body)
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
    bad = await shared_intake.client(Authorization="Bearer nonsense").post(PATH, json=REQUEST)
    assert bad.status_code == 401
    assert bad.headers["www-authenticate"].startswith("Bearer")
    assert await shared_intake.rows("SELECT 1 FROM ledger") == []


@pytest.mark.parametrize(
    "client",
    [
        None, "192.0.2.9", {}, {"ip": None}, {"ip": 7}, {"ip": "nowhere"}, {"ip": "192.0.2.0/24"},
        {"ip": "fe80::1%eth0"}, {"ip": "192.0.2.9", "user_agent": None}, {"ip": "192.0.2.9", "user_agent": "a\nb"},
        {"ip": "192.0.2.9", "port": 1}, {"user_agent": "Lynx"},
    ],
)  # fmt: skip
async def test_a_malformed_client_is_422(shared_intake: Intake, client: Any) -> None:
    answer = await shared_intake.platform().post(PATH, json={**REQUEST, "client": client})
    assert answer.status_code == 422
    assert await shared_intake.rows("SELECT 1 FROM ledger") == []


async def test_the_platform_says_where_the_user_is(intake: Intake) -> None:
    client = {"ip": "::ffff:192.0.2.9", "user_agent": "Mozilla/5.0 " + "x" * 2000}
    answer = await intake.platform(sub="sign-in page").post(PATH, json={**REQUEST, "client": client})
    assert answer.status_code == 202
    (event,) = await intake.events()
    assert event["data"]["ip"] == "192.0.2.9"
    assert event["data"]["user_agent"] == client["user_agent"][:1024]
    assert event["data"]["actor"] == "sign-in page"


async def test_a_taken_reference_is_tried_again(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    first = (await intake.client().post(PATH, json=REQUEST)).json()["reference_id"]
    names = iter([first, first, "RA-7K2M-9QXT-5"])
    monkeypatch.setattr(reference, "generate", lambda _: next(names))
    second = await intake.client().post(PATH, json=REQUEST)
    assert second.json()["reference_id"] == "RA-7K2M-9QXT-5"
    assert len(await intake.events()) == 2


async def test_nothing_is_lost_while_the_broker_is_away(start_intake: StartIntake, kafka_servers: list[str]) -> None:
    away = await start_intake(servers=[f"127.0.0.1:{free_port()}"])
    client = away.client()
    for number in range(5):
        answer = await client.post(PATH, json={**REQUEST, "email": f"p{number}@example.org"})
        assert answer.status_code == 202
    assert (await client.get("/health/ready")).status_code == 200
    assert len(await away.rows("SELECT 1 FROM outbox")) == 5
    await away.stop()
    back = await start_intake(database_url=away.database_url, servers=kafka_servers)
    wanted = {event["id"] for event in await back.events()}
    assert len(wanted) == 5
    await messages(back, "readmit.assistance.requests.v1", wanted)

    async def empty() -> bool:
        return await back.rows("SELECT 1 FROM outbox") == []

    await wait_for(empty)


async def test_the_relay_is_woken_and_needs_no_polling(intake: Intake) -> None:
    """No NOTIFY tells of a request (adapters/requests.py); unwoken, an idle relay looks every two seconds."""
    client = intake.client()
    for _ in range(4):
        await asyncio.sleep(1.7)
        answer = await client.post(PATH, json=REQUEST)
        assert answer.status_code == 202
        end = asyncio.get_running_loop().time() + 0.6
        while await intake.rows("SELECT 1 FROM outbox"):
            assert asyncio.get_running_loop().time() < end, "the outbox row waits for a poll"
            await asyncio.sleep(0.02)
