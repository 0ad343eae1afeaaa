"""The main job, driven by the published interface only."""

from __future__ import annotations

import base64
import json
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.builders.organisation import Organisation, an_organisation
from tests.stack import CODE, LINK_TOKEN, Received, Stack, account, event, eventually

HEADINGS = [
    "Request details", "Account status", "Recent security events", "Request context", "Before you act",
]  # fmt: skip
LABELS = [
    "Reference ID:", "Submitted email:", "Resolved account:", "Request type:", "Date and time:", "Earlier requests:",
    "Account exists:", "Account active:", "Two-factor authentication:", "Unused backup codes:",
    "Last successful sign-in:", "Recent sign-in locations:", "Recent sign-in networks:", "Recent failed sign-ins:",
    "Access email last sent:", "Recovery code last sent:", "Two-factor last changed:", "Backup codes last changed:",
    "Password last changed:", "Email address last changed:",
    "IP address:", "Approximate location:", "Network:", "IP used before for successful sign-in:",
    "Network used before for successful sign-in:",
]  # fmt: skip


async def act(stack: Stack, org: Organisation, kind: str, **body: Any) -> dict[str, Any]:
    # Each service has its own projection: that notifier knew the administrators says nothing of recovery's.
    await eventually(lambda: knows(stack, org), what="recovery knows the accounts")
    response = await stack.client.post(
        f"{stack.url('recovery')}/v1/accounts/{org.person.account_id}/{kind}",
        json={"reason": await a_reason(stack, org)} | body,
        headers=stack.headers(org.expert.account_id, "readmit.recover"),
    )
    assert response.status_code == 202, response.text
    return dict(response.json())


async def a_reason(stack: Stack, org: Organisation) -> str:
    response = await stack.client.get(
        f"{stack.url('recovery')}/v1/reasons", headers=stack.headers(org.expert.account_id, "readmit.recover")
    )
    assert response.status_code == 200, response.text
    return str(response.json()[0]["code"])


def secret_mail(stack: Stack, org: Organisation, pattern: Any) -> tuple[Received, str] | None:
    for received in stack.mailbox.to(org.person.address):
        if found := pattern.search(received.text):
            return received, found[found.lastindex or 0]
    return None


async def test_the_whole_story(stack: Stack) -> None:
    org = await an_organisation(stack)
    reference = await stack.request_help(org.person.address)

    await eventually(lambda: len(stack.mailbox.about(reference)) >= 2, what="both administrators are told")
    told = sorted(recipient for mail in stack.mailbox.about(reference) for recipient in mail.recipients)
    assert set(org.told) <= set(told)
    assert not set(org.not_told) & set(told)
    (mail,) = [item for item in stack.mailbox.about(reference) if org.helper.address in item.recipients]
    lines = mail.text.splitlines()
    for heading in HEADINGS:
        assert heading in lines, mail.text
    for label in LABELS:
        assert any(line.startswith(label) for line in lines), f"{label}\n{mail.text}"
    assert f"Reference ID: {reference}" in lines
    assert f"Submitted email: {org.person.address}" in lines
    assert "Account active: no (locked)" in lines
    assert "Unused backup codes: 0" in lines
    assert any(line.startswith("IP used before for successful sign-in: no") for line in lines)
    assert any("documentation address" in line for line in lines)
    assert reference in mail.message["Subject"]
    assert org.person.address not in mail.message["Subject"]

    # The expert sends a code; the person uses it, once.
    action = await act(stack, org, "recovery-codes", reference_id=reference, details="Called back on the known number")
    assert action["status"] == "queued"
    code_mail, code = await eventually(lambda: secret_mail(stack, org, CODE), what="the code is mailed")
    assert code_mail.recipients == [org.person.address]
    body = {"email": org.person.address, "code": code.lower(), "actions": ["reset-password", "remove-2fa"]}
    redeemed = await stack.client.post(f"{stack.url('recovery')}/v1/recovery-codes/redeem", json=body)
    assert redeemed.status_code == 200, redeemed.text
    grant = redeemed.json()["grant"]
    claims = await grant_claims(stack, grant)
    assert claims["sub"] == org.person.account_id
    assert sorted(claims["actions"]) == ["remove-2fa", "reset-password"]
    assert claims["reference_id"] == reference
    again = await stack.client.post(f"{stack.url('recovery')}/v1/recovery-codes/redeem", json=body)
    assert again.status_code == 400
    assert again.json()["type"].endswith("/invalid-or-expired")

    # The compliance team reads it all.
    expected = {
        "readmit.assistance.requested.v1",
        "readmit.assistance.enriched.v1",
        "readmit.assistance.admin-notified.v1",
        "readmit.recovery.code-requested.v1",
        "readmit.recovery.code-sent.v1",
        "readmit.recovery.code-redeemed.v1",
    }
    story = await eventually(lambda: story_with(stack, reference, expected), what="the story is complete")
    notified = [item for item in story if item["type"] == "readmit.assistance.admin-notified.v1"]
    assert {org.helper.account_id, org.expert.account_id} <= {item["data"]["admin"] for item in notified}
    (asked,) = [item for item in story if item["type"] == "readmit.recovery.code-requested.v1"]
    assert asked["actor"] == org.expert.account_id
    assert asked["subject"] == org.person.account_id
    assert asked["data"]["details"] == "Called back on the known number"
    (submitted,) = [item for item in story if item["type"] == "readmit.assistance.requested.v1"]
    assert submitted["data"]["ip"] == "198.51.100.7"
    # As it happened, not as it was written down: topics overtake one another on their way into the log.
    times = [item["occurred_at"] for item in story]
    assert times == sorted(times)
    await assert_no_secret_anywhere(stack, [code, code.replace("-", ""), code.replace("-", "")[4:], grant])


async def grant_claims(stack: Stack, grant: str) -> dict[str, Any]:
    jwks = (await stack.client.get(f"{stack.url('recovery')}/.well-known/jwks.json")).json()
    token = jwt.decode(grant, KeySet.import_key_set(jwks), algorithms=["ES256"])
    assert token.header["typ"] == "readmit-grant+jwt"
    assert token.claims["exp"] - token.claims["iat"] <= 600
    return dict(token.claims)


async def story_with(stack: Stack, reference: str, types: set[str]) -> list[dict[str, Any]] | None:
    response = await stack.client.get(
        f"{stack.url('audit')}/v1/references/{reference}", headers=stack.headers("auditor", "readmit.audit")
    )
    records = response.json()["records"] if response.status_code == 200 else []
    return records if types <= {item["type"] for item in records} else None


async def test_an_access_email_lets_the_person_set_a_new_password(stack: Stack) -> None:
    org = await an_organisation(stack)
    reference = await stack.request_help(org.person.address, issue="forgotten-password")
    await eventually(lambda: stack.mailbox.about(reference))
    await act(stack, org, "access-emails", reference_id=reference)
    _, token = await eventually(lambda: secret_mail(stack, org, LINK_TOKEN), what="the access email")
    for _ in range(2):  # a mail scanner opens it first
        opened = await stack.client.get(f"{stack.url('recovery')}/r")
        assert opened.status_code == 200
    redeemed = await stack.client.post(f"{stack.url('recovery')}/v1/access-links/redeem", json={"token": token})
    assert redeemed.status_code == 200, redeemed.text
    claims = await grant_claims(stack, redeemed.json()["grant"])
    assert (claims["sub"], claims["actions"]) == (org.person.account_id, ["reset-password"])
    second = await stack.client.post(f"{stack.url('recovery')}/v1/access-links/redeem", json={"token": token})
    assert second.status_code == 400
    expected = {"readmit.recovery.access-email-sent.v1", "readmit.recovery.access-link-used.v1"}
    await eventually(lambda: story_with(stack, reference, expected))
    await assert_no_secret_anywhere(stack, [token, redeemed.json()["grant"]])


async def test_an_address_without_an_account_is_told_and_answered_alike(stack: Stack) -> None:
    org = await an_organisation(stack)
    stranger = f"nobody.{org.tag}@example.org"
    reference = await stack.request_help(stranger)
    await eventually(lambda: len(stack.mailbox.about(reference)) >= 2)
    text = stack.mailbox.about(reference)[0].text
    assert "Resolved account: none found" in text.splitlines()
    assert "Account status" not in text.splitlines()
    assert "Recent security events" not in text.splitlines()


@pytest.mark.parametrize("kind", ["access-emails", "recovery-codes"])
async def test_nobody_acts_without_the_permission(stack: Stack, kind: str) -> None:
    org = await an_organisation(stack)
    url = f"{stack.url('recovery')}/v1/accounts/{org.person.account_id}/{kind}"
    await eventually(lambda: knows(stack, org))
    body = {"reason": await a_reason(stack, org)}
    refused = [org.bystander.account_id, org.suspended.account_id, "stranger"]
    if kind == "recovery-codes":
        refused.append(org.helper.account_id)
    for actor in refused:
        response = await stack.client.post(url, json=body, headers=stack.headers(actor, "readmit.recover"))
        assert response.status_code == 403, (actor, response.text)
    assert (await stack.client.post(url, json=body)).status_code == 401
    wrong_scope = stack.headers(org.expert.account_id, "readmit.audit")
    assert (await stack.client.post(url, json=body, headers=wrong_scope)).status_code == 403
    own = f"{stack.url('recovery')}/v1/accounts/{org.expert.account_id}/{kind}"
    response = await stack.client.post(own, json=body, headers=stack.headers(org.expert.account_id, "readmit.recover"))
    assert response.status_code == 403
    assert response.json()["type"].endswith("/self-service")
    query = f"type:readmit.recovery.action-denied.v1 actor:{org.bystander.account_id}"
    denied = await eventually(lambda: stack.records(query), what="the denial is recorded")
    assert denied[0]["outcome"] == "denied"


async def knows(stack: Stack, org: Organisation) -> bool:
    response = await stack.client.get(
        f"{stack.url('recovery')}/v1/accounts/{org.unreachable.account_id}",
        headers=stack.headers(org.expert.account_id, "readmit.recover"),
    )
    return response.status_code == 200


BAD_REQUESTS: list[tuple[int, bytes, str]] = [
    (400, b"{", "application/json"),
    (400, b'{"email": "\\ud800@example.org", "issue": "other"}', "application/json"),
    (413, b'{"email": "' + b"a" * 17_000 + b'"}', "application/json"),
    (415, b"email=a@example.org&issue=other", "text/plain"),
    (422, b'{"email": ["a@example.org", "b@example.org"], "issue": "other"}', "application/json"),
    (422, b'{"email": "a@example.org,b@example.org", "issue": "other"}', "application/json"),
    (422, b'{"email": "a@example.org", "issue": "bored"}', "application/json"),
    (422, b'{"email": "a@example.org", "issue": "other", "note": "hi"}', "application/json"),
    (422, b'{"email": "a@example.org"}', "application/json"),
    (403, b'{"email": "a@example.org", "issue": "other", "client": {"ip": "192.0.2.1"}}', "application/json"),
]


async def test_bad_input_is_a_problem_and_publishes_nothing(stack: Stack) -> None:
    before = len(await stack.records("type:readmit.assistance.*"))
    for status, content, media_type in BAD_REQUESTS:
        response = await stack.client.post(
            f"{stack.url('intake')}/v1/assistance-requests", content=content, headers={"Content-Type": media_type}
        )
        assert response.status_code == status, (content[:60], response.text)
        assert response.headers["content-type"].startswith("application/problem+json")
        assert {"type", "title", "status"} <= set(response.json())
    org = await an_organisation(stack)
    marker = await stack.request_help(org.person.address)
    await eventually(lambda: story_with(stack, marker, {"readmit.assistance.enriched.v1"}))
    after = await stack.records("type:readmit.assistance.*")
    strangers = [item for item in after[before:] if item["reference_id"] != marker]
    assert [item for item in strangers if item["type"] == "readmit.assistance.requested.v1"] == []


async def test_a_batch_with_one_bad_event_is_refused_whole(stack: Stack) -> None:
    org = await an_organisation(stack)
    bad = event("signin-failed", org.person.account_id, ip="192.0.2.1", failure="tired")
    newcomer = account(f"newcomer-{org.tag}", f"newcomer.{org.tag}@example.org")
    response = await stack.post_events(newcomer, bad, event("no-such-type", "x"))
    assert response.status_code == 422
    assert [item["index"] for item in response.json()["errors"]] == [1, 2]
    assert (await stack.post_events(event("locked", org.person.account_id))).status_code == 202
    await eventually(lambda: stack.records(f"type:readmit.identity.locked.v1 subject:{org.person.account_id}"))
    assert await stack.records(f"subject:newcomer-{org.tag}") == []


async def assert_no_secret_anywhere(stack: Stack, secrets: list[str]) -> None:
    """A byte search over every topic, every table of every service, and every log line."""
    needles = {form for secret in secrets for form in _forms(secret)}
    haystacks = {**await _topics(stack), **await _tables(stack), **_logs(stack)}
    assert any(name.startswith("topic readmit.recovery") and data for name, data in haystacks.items())
    assert any(name.startswith("table recovery.") and data for name, data in haystacks.items())
    for name, data in haystacks.items():
        for needle in needles:
            assert needle not in data, f"a secret is in {name}"


def _forms(secret: str) -> set[bytes]:
    raw = secret.encode()
    return {raw, raw.lower(), base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"="), raw.hex().encode()}


async def _topics(stack: Stack) -> dict[str, bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=[stack.ready["kafka"]], auto_offset_reset="earliest")
    await consumer.start()
    try:
        names = sorted(name for name in await consumer.topics() if name.startswith("readmit."))
        found = {f"topic {name}": b"" for name in names}
        consumer.subscribe(names)
        quiet = 0
        while quiet < 5:
            batch = await consumer.getmany(timeout_ms=400)
            quiet = 0 if batch else quiet + 1
            for partition, records in batch.items():
                parts = [part for item in records for part in (item.key, item.value, *(v for _, v in item.headers))]
                found[f"topic {partition.topic}"] += b"\n".join(part or b"" for part in parts)
        return found
    finally:
        await consumer.stop()


async def _tables(stack: Stack) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for service, url in stack.ready["databases"].items():
        connection = await asyncpg.connect(url)
        try:
            tables = await connection.fetch(
                "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition "  # a partition is read through its parent
                "AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
            )
            for schema, table in tables:
                chunks: list[bytes] = []

                async def keep(chunk: bytes, into: list[bytes] = chunks) -> None:
                    into.append(chunk)

                await connection.copy_from_query(f"SELECT * FROM {schema}.{table}", output=keep, format="binary")
                found[f"table {service}.{table}"] = b"".join(chunks)
        finally:
            await connection.close()
    return found


def _logs(stack: Stack) -> dict[str, bytes]:
    return {f"log {path.name}": path.read_bytes() for path in (stack.folder / "logs").glob("*.log")}


async def test_the_search_for_secrets_finds_one_that_is_there(stack: Stack) -> None:
    """The twin: a word that is known to be in a topic and a table is found."""
    org = await an_organisation(stack)
    await eventually(lambda: stack.records(f"subject:{org.person.account_id}"))
    with pytest.raises(AssertionError, match="a secret is in"):
        await assert_no_secret_anywhere(stack, [org.person.account_id])
    assert json.dumps(stack.ready["databases"])
