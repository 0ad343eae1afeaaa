"""The administrators' interface: what it answers, and every way in which it refuses, in the contract's order."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.schemas.identity import AccountRemoved, AccountRemovedData, SigninFailed, SigninFailedData, SigninFailure
from tests.integration.recovery.desk import Recovery

KINDS = ("access-emails", "recovery-codes")
GETS = ("/v1/accounts", "/v1/accounts/x", "/v1/accounts/x/activity", "/v1/reasons", "/v1/requests", "/v1/actions/x")
POSTS = (
    ("/v1/accounts/x/access-emails", {"reason": "other"}),
    ("/v1/accounts/x/recovery-codes", {"reason": "other"}),
    ("/v1/requests/RA-7K2M-9QXT-5/claim", None),
    ("/v1/requests/RA-7K2M-9QXT-5/close", {"outcome": "resolved"}),
)
CALLS = [("GET", path, None) for path in GETS] + [("POST", path, body) for path, body in POSTS]


def problem(answer: Any) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"]
    return str(body["type"]).rsplit("/", 1)[-1]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_every_call_needs_token_scope_and_permission(
    recovery: Recovery, method: str, path: str, body: dict[str, str] | None
) -> None:
    nobody = await recovery.client.request(method, path, json=body)
    assert nobody.status_code == 401
    assert "WWW-Authenticate" in nobody.headers
    headers = {"Authorization": f"Bearer {recovery.token('x', scope='readmit.audit')}"}
    scopeless = await recovery.client.request(method, path, json=body, headers=headers)
    assert (scopeless.status_code, problem(scopeless)) == (403, "insufficient-scope")
    unknown = await recovery.call(method, path, "nobody-in-the-directory", json=body)
    assert (unknown.status_code, problem(unknown)) == (403, "permission")
    ordinary = await recovery.account(data_protection_access=0, expert_mode=True)
    refused = await recovery.call(method, path, ordinary, json=body)
    assert (refused.status_code, problem(refused)) == (403, "permission")
    denials = [e for e in await recovery.events(kind="action-denied") if e["data"]["actor"] == ordinary.account_id]
    assert [event["data"]["reason"] for event in denials] == ["permission"]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_order_of_checks(recovery: Recovery, kind: str) -> None:
    """Each request is wrong in all that comes after, too: the first check answers."""
    admin = await recovery.expert()
    powerless = await recovery.account()
    target = await recovery.account(status="disabled")
    path = f"/v1/accounts/{target.account_id}/{kind}"
    missing = f"/v1/accounts/none-{secrets.token_hex(4)}/{kind}"

    async def status(path: str, who: Any, body: Any) -> int:
        return (await recovery.call("POST", path, who, body)).status_code

    assert await status(missing, None, {"reason": 1}) == 401
    bad_scope = {"Authorization": f"Bearer {recovery.token(powerless, scope='')}"}
    assert (await recovery.client.post(missing, json={"reason": 1}, headers=bad_scope)).status_code == 403
    assert await status(missing, powerless, {"reason": 1}) == 422
    assert await status(missing, powerless, {"reason": "no-such"}) == 403
    assert await status(missing, admin, {"reason": "no-such"}) == 404
    own = f"/v1/accounts/{admin.account_id}/{kind}"
    assert await status(own, admin, {"reason": "no-such"}) == 403
    higher = await recovery.account(data_protection_access=9, status="disabled")
    assert await status(f"/v1/accounts/{higher.account_id}/{kind}", admin, {"reason": "no-such"}) == 403
    assert await status(path, admin, {"reason": "no-such"}) == 422
    assert await status(path, admin, {"reason": "lost-device"}) == 409


@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_acts_on_themselves_or_on_more_access(recovery: Recovery, kind: str) -> None:
    admin = await recovery.expert()
    own = await recovery.send(kind, admin, admin, details="me")
    assert (own.status_code, problem(own)) == (403, "self-service")
    higher = await recovery.account(data_protection_access=4)
    above = await recovery.send(kind, admin, higher)
    assert (above.status_code, problem(above)) == (403, "higher-privilege")
    denied = (await recovery.events(admin.account_id, "action-denied"))[0]["data"]
    assert denied["actor"] == admin.account_id
    assert denied["outcome"] == "denied"
    assert denied["given_reason"] == "lost-device"
    assert denied["details"] == "me"
    assert (await recovery.events(higher.account_id, "action-denied"))[0]["data"]["reason"] == "higher-privilege"
    assert not recovery.sink.to(admin.email)
    assert not recovery.sink.to(higher.email)


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": 5}, "reason"),
        ({"reason": "other", "more": 1}, "more"),
        ({"reason": "other", "details": "\u0000"}, "details"),
        ({"reason": "other", "details": "x" * 4001}, "details"),
        ({"reason": "other", "details": ["x"]}, "details"),
        ({"reason": "other", "reference_id": "RA-7K2M-9QXT-6"}, "reference_id"),
        ({"reason": "other", "on_behalf_of": ""}, "on_behalf_of"),
        ({"reason": "other", "verification": {"note": "x"}}, "verification.method"),
        ({"reason": "other", "verification": {"method": "phone", "x": 1}}, "verification.x"),
        ({"reason": "nobody-knows"}, "reason"),
        ({"reason": "other", "on_behalf_of": "nobody-knows"}, "on_behalf_of"),
    ],
)
async def test_bad_bodies(recovery: Recovery, body: dict[str, Any], member: str) -> None:
    target = await recovery.account()
    answer = await recovery.call(
        "POST", f"/v1/accounts/{target.account_id}/access-emails", await recovery.expert(), body
    )
    assert answer.status_code == 422
    assert [error["member"] for error in answer.json()["errors"]] == [member]
    assert await recovery.events(target.account_id) == []


async def test_bodies_that_are_no_json(recovery: Recovery) -> None:
    path = f"/v1/accounts/{(await recovery.account()).account_id}/access-emails"
    headers = {"Authorization": f"Bearer {recovery.token(await recovery.expert())}"}

    async def status(content: bytes, media_type: str = "application/json") -> int:
        answer = await recovery.client.post(path, content=content, headers=headers | {"Content-Type": media_type})
        return answer.status_code

    assert await status(b"{") == 400
    assert await status(b'{"reason": "other", "reason": "other"}') == 400
    assert await status(b'{"reason": "\\ud800"}') == 400
    assert await status(b"reason=other", "application/x-www-form-urlencoded") == 415
    assert await status(b'{"reason": "' + b"x" * 17_000 + b'"}') == 413
    assert await status(b"[]") == 422


@pytest.mark.parametrize("kind", KINDS)
async def test_conflicts(recovery: Recovery, kind: str) -> None:
    admin = await recovery.expert()
    disabled = await recovery.send(kind, admin, await recovery.account(status="disabled"))
    assert (disabled.status_code, problem(disabled)) == (409, "disabled")
    mute = await recovery.send(kind, admin, await recovery.account(email=""))
    assert (mute.status_code, problem(mute)) == (409, "no-address")


async def test_removed_and_strange_accounts_are_unknown(recovery: Recovery) -> None:
    admin, gone = await recovery.expert(), await recovery.account()
    await recovery.report(recovery.event(AccountRemoved, AccountRemovedData(account_id=gone.account_id)))
    for name in (gone.account_id, "%00", "%F0%9F", "x" * 3000, "a%2Fb", "..%2F.."):
        for suffix in ("", "/activity"):
            assert (await recovery.call("GET", f"/v1/accounts/{name}{suffix}", admin)).status_code == 404
        answer = await recovery.call("POST", f"/v1/accounts/{name}/access-emails", admin, {"reason": "other"})
        assert answer.status_code == 404
    assert (await recovery.call("GET", "/v1/actions/%00", admin)).status_code == 404
    found = (await recovery.call("GET", f"/v1/accounts?query={gone.account_id}", admin)).json()
    assert found == {"accounts": [], "next": None}


async def test_an_account_id_may_hold_a_slash(recovery: Recovery) -> None:
    target = await recovery.account(account_id=f"dir/{secrets.token_hex(4)}")
    admin = await recovery.expert()
    name = target.account_id.replace("/", "%2F")
    assert (await recovery.call("GET", f"/v1/accounts/{name}", admin)).json()["account_id"] == target.account_id
    answer = await recovery.call("POST", f"/v1/accounts/{name}/access-emails", admin, {"reason": "other"})
    assert answer.status_code == 202


async def test_search_by_address_name_and_id_in_pages(recovery: Recovery) -> None:
    admin, word = await recovery.expert(), secrets.token_hex(5)
    people = [await recovery.account(display_name=f"Zoë {word} {n}", email=f"{word}{n}@example.org") for n in range(5)]

    async def find(query: str, **more: str) -> Any:
        return (await recovery.call("GET", "/v1/accounts", admin, params={"query": query, **more})).json()

    assert [a["account_id"] for a in (await find(f"ZOË {word}"))["accounts"]] == [p.account_id for p in people]
    assert [a["email"] for a in (await find(f"{word}3@EXAMPLE.org"))["accounts"]] == [people[3].email]
    assert [a["account_id"] for a in (await find(people[2].account_id))["accounts"]] == [people[2].account_id]
    assert (await find(f"{word}%"))["accounts"] == []
    seen, cursor = [], None
    while True:
        page = await find(word, limit="2", **({"cursor": cursor} if cursor else {}))
        seen += [account["account_id"] for account in page["accounts"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [p.account_id for p in people]
    assert (await recovery.call("GET", "/v1/accounts?cursor=x", admin)).status_code == 400
    assert (await recovery.call("GET", "/v1/accounts?cursor=WzEsMl0", admin)).status_code == 400
    for limit in ("0", "201", "-1", "x", "1" * 5000):
        assert (await recovery.call("GET", f"/v1/accounts?limit={limit}", admin)).status_code == 422


async def test_one_account_without_enrichment_has_unknown_facts(recovery: Recovery) -> None:
    admin, target = await recovery.expert(), await recovery.account(locale="de", time_zone="Europe/Berlin")
    answer = (await recovery.call("GET", f"/v1/accounts/{target.account_id}", admin)).json()
    expected = target.model_dump(mode="json")
    assert {name: answer[name] for name in expected} == expected
    assert {fact["state"] for fact in answer["context"].values()} == {"unknown"}
    assert "last_successful_signin" in answer["context"]


async def test_activity_newest_first_in_pages(recovery: Recovery) -> None:
    admin, target = await recovery.expert(), await recovery.account()
    moment = datetime.now(UTC) - timedelta(days=1)
    failed = [
        recovery.event(
            SigninFailed,
            SigninFailedData(account_id=target.account_id, ip="192.0.2.7", failure=SigninFailure.BAD_PASSWORD),
            at=moment + timedelta(minutes=n),
        )
        for n in range(3)
    ]
    await recovery.report(*reversed(failed))
    await recovery.report(*failed)  # again: no second line
    await recovery.mailed_code(target, admin, details="on the phone")
    path = f"/v1/accounts/{target.account_id}/activity"
    lines = (await recovery.call("GET", path, admin)).json()["activity"]
    assert [line["type"].split(".")[2] for line in lines] == ["code-sent", "code-requested"] + ["signin-failed"] * 3
    assert lines[1]["actor"] == admin.account_id
    assert lines[1]["reason"] == "lost-device"
    assert lines[1]["details"] == "on the phone"
    assert lines[2]["outcome"] == "failure"
    assert lines[2]["reason"] == "bad-password"
    first = (await recovery.call("GET", f"{path}?limit=2", admin)).json()
    rest = (await recovery.call("GET", f"{path}?cursor={first['next']}", admin)).json()
    assert first["activity"] + rest["activity"] == lines
    assert rest["next"] is None
    assert (await recovery.call("GET", f"{path}?cursor=W10", admin)).status_code == 400


async def test_idempotency_keys(recovery: Recovery) -> None:
    admin, target = await recovery.expert(), await recovery.account()
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    first = await recovery.send("recovery-codes", admin, target, headers=headers)
    again = await recovery.send("recovery-codes", admin, target, headers=headers)
    assert first.json() == again.json()
    assert again.status_code == 202
    other = await recovery.send("recovery-codes", admin, target, headers=headers, details="x")
    assert other.status_code == 422
    elsewhere = await recovery.send("access-emails", admin, target, headers=headers)
    assert elsewhere.status_code == 422
    # Another administrator's key is another key.
    assert (await recovery.send("recovery-codes", await recovery.expert(), target, headers=headers)).status_code == 202
    assert len(await recovery.events(target.account_id, "code-requested")) == 2
    for bad in ("", "a b", "x" * 256):
        answer = await recovery.send("recovery-codes", admin, target, headers={"Idempotency-Key": bad})
        assert answer.status_code == 422


async def test_reasons_and_statuses(recovery: Recovery) -> None:
    admin = await recovery.expert()
    reasons = (await recovery.call("GET", "/v1/reasons", admin)).json()
    assert {"code": "lost-device", "label": "Lost or replaced second-factor device"} in reasons
    assert all(set(reason) == {"code", "label"} for reason in reasons)
    target = await recovery.account()
    action_id, code = await recovery.mailed_code(target, admin)
    state = await recovery.call("GET", f"/v1/actions/{action_id}", admin)
    assert code not in state.text
    assert state.json()["kind"] == "recovery-code"
    assert state.json()["status"] == "sent"
    assert state.json()["expires_at"] > state.json()["sent_at"]
    assert (await recovery.call("GET", "/v1/actions/nothing", admin)).status_code == 404


async def test_the_interface_describes_itself(recovery: Recovery) -> None:
    document = (await recovery.client.get("/openapi.json")).json()
    paths = document["paths"]
    assert "post" in paths["/v1/recovery-codes/redeem"]
    schema = paths["/v1/accounts/{account_id}/recovery-codes"]["post"]["requestBody"]["content"]["application/json"]
    assert "reason" in schema["schema"]["properties"]
    assert not any("console" in path for path in paths)


async def test_a_subject_that_is_an_address_becomes_no_kafka_key(recovery: Recovery) -> None:
    """Keys are opaque ids or keyed hashes (contract section 5); some issuers put an address into `sub`."""
    subject = f"stranger-{secrets.token_hex(4)}@example.org"
    assert (await recovery.call("GET", "/v1/accounts?query=x", subject)).status_code == 403
    rows = await recovery.rows(
        "SELECT key, value FROM ledger WHERE type LIKE '%action-denied%' ORDER BY id DESC LIMIT 5"
    )
    (key,) = [row.key for row in rows if subject.encode() in bytes(row.value)]
    assert "@" not in key
    assert subject not in key
