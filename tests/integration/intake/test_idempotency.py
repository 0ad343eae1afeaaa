"""`Idempotency-Key`: the same answer for the same request, however often and however fast it is sent."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from services.intake.adapters.housekeeping import forget_expired_keys
from shared.kit.db.engine import create_engine
from tests.integration.intake.conftest import Intake

PATH = "/v1/assistance-requests"
REQUEST = {"email": "amelia@example.org", "issue": "lost-2fa"}
KEY = {"Idempotency-Key": "0d3b4c5e-0f0e-4e43-9d6c-2f6c7f4bb1a7"}


async def test_the_same_request_has_the_same_answer(intake: Intake) -> None:
    client = intake.client()
    first = await client.post(PATH, json=REQUEST, headers={**KEY, "Accept-Language": "de"})
    again = await client.post(PATH, json=REQUEST, headers={**KEY, "Accept-Language": "ar"})
    assert (again.status_code, again.content, dict(again.headers)) == (202, first.content, dict(first.headers))
    assert len(await intake.events()) == 1
    assert len(await intake.rows("SELECT 1 FROM requests")) == 1


async def test_another_body_is_refused(intake: Intake) -> None:
    client = intake.client()
    assert (await client.post(PATH, json=REQUEST, headers=KEY)).status_code == 202
    other = await client.post(PATH, json={**REQUEST, "issue": "other"}, headers=KEY)
    assert other.status_code == 422
    assert other.json()["type"].endswith("/idempotency-key-reused")
    assert len(await intake.events()) == 1


async def test_a_hundred_at_once_are_one_request(intake: Intake) -> None:
    client = intake.client()
    answers = await asyncio.gather(*(client.post(PATH, json=REQUEST, headers=KEY) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(await intake.events()) == 1


async def test_a_key_belongs_to_its_sender(intake: Intake) -> None:
    """Nobody learns by a guessed key what somebody else asked for."""
    body = {**REQUEST, "client": {"ip": "192.0.2.9"}}
    answers = [
        await intake.client("203.0.113.7").post(PATH, json=REQUEST, headers=KEY),
        await intake.client("203.0.113.8").post(PATH, json=REQUEST, headers=KEY),
        await intake.client("203.0.113.7").post(PATH, json={**REQUEST, "email": "b@example.org"}, headers=KEY),
        await intake.platform(sub="one").post(PATH, json=body, headers=KEY),
        await intake.platform(sub="two").post(PATH, json=body, headers=KEY),
        await intake.platform(sub="one").post(PATH, json={**body, "client": {"ip": "192.0.2.8"}}, headers=KEY),
    ]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["reference_id"] for answer in answers}) == len(answers)
    other = await intake.platform(sub="one").post(PATH, json={**body, "email": "b@example.org"}, headers=KEY)
    assert other.status_code == 422


async def test_a_key_is_kept_for_a_day(intake: Intake) -> None:
    client = intake.client()
    first = await client.post(PATH, json=REQUEST, headers=KEY)
    await intake.rows("UPDATE idempotency_keys SET expires_at = now() - $1::interval", timedelta(seconds=1))
    second = await client.post(PATH, json={**REQUEST, "issue": "other"}, headers=KEY)
    assert second.status_code == 202
    assert second.content != first.content
    third = await client.post(PATH, json={**REQUEST, "issue": "other"}, headers=KEY)
    assert third.content == second.content
    (row,) = await intake.rows("SELECT expires_at > now() + interval '23 hours' AS kept FROM idempotency_keys")
    assert row["kept"]


async def test_expired_keys_are_forgotten(intake: Intake) -> None:
    await intake.client().post(PATH, json=REQUEST, headers=KEY)
    engine = create_engine(intake.database_url, pool_size=4, application_name="test")
    await forget_expired_keys(engine)
    assert len(await intake.rows("SELECT 1 FROM idempotency_keys")) == 1
    await intake.rows("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
    await forget_expired_keys(engine)
    assert await intake.rows("SELECT 1 FROM idempotency_keys") == []
    await engine.dispose()


async def test_keys_are_kept_as_hashes(intake: Intake) -> None:
    await intake.client().post(PATH, json=REQUEST, headers={"Idempotency-Key": "amelia@example.org"})
    (row,) = await intake.rows("SELECT * FROM idempotency_keys")
    assert "amelia" not in str(dict(row))


@pytest.mark.parametrize("key", ["", " ", "a b", "ключ", "k" * 256])
async def test_a_malformed_key_is_422(shared_intake: Intake, key: str) -> None:
    answer = await shared_intake.client().post(PATH, json=REQUEST, headers=[(b"Idempotency-Key", key.encode())])
    assert answer.status_code == 422
    assert await shared_intake.rows("SELECT 1 FROM ledger") == []
