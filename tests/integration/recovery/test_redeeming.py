"""Redeeming: once, in time, by the right person, and counted."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from shared.schemas import identity
from shared.schemas.identity import AccountData
from tests.integration.recovery.desk import NOTHING, Recovery, wait_for


def wrong(code: str) -> str:
    """The same selector, another secret."""
    return code[:-1] + ("0" if code[-1] != "0" else "1")


def other_selector(code: str) -> str:
    return ("0" if code[0] != "0" else "1") + code[1:]


async def test_each_way_of_typing_a_code(recovery: Recovery) -> None:
    target = await recovery.account(email=f"Mixed.Case.{secrets.token_hex(3)}@example.org")
    _, code = await recovery.mailed_code(target)
    typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "i")
    assert (await recovery.redeem(f" {target.email.upper()} ", typed)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"email": "a@example.org", "code": "x"},
        {"email": "a@example.org", "code": "x", "actions": []},
        {"email": "a@example.org", "code": "x", "actions": ["delete"]},
        {"email": "a@example.org", "code": "x", "actions": "reset-password"},
        {"email": "a@example.org", "code": "x", "actions": ["reset-password", "reset-password"]},
        {"email": ["a@example.org", "b@example.org"], "code": "x", "actions": ["reset-password"]},
        {"email": "a@example.org", "code": 5, "actions": ["reset-password"]},
        {"email": "a@example.org", "code": None, "actions": ["reset-password"]},
        {"email": "a@example.org", "code": "x", "actions": ["reset-password"], "account_id": "x"},
        [],
        "x",
    ],
)
async def test_malformed_bodies(recovery: Recovery, body: Any) -> None:
    assert (await recovery.client.post("/v1/recovery-codes/redeem", json=body)).status_code == 422
    assert (await recovery.client.post("/v1/access-links/redeem", json=body)).status_code == 422


async def test_everything_else_is_the_same_answer(recovery: Recovery) -> None:
    target = await recovery.account()
    _, code = await recovery.mailed_code(target)
    nobody = f"{secrets.token_hex(4)}@example.org"
    attempts = [(nobody, code), (target.email, wrong(code)), (target.email, other_selector(code)), (target.email, "")]
    attempts += [("not an address", code), ("", ""), ("\0", "\0"), ("x" * 4000, "y" * 4000), (target.email, "Ü-😀")]
    answers = [await recovery.redeem(email, typed) for email, typed in attempts]
    answers += [await recovery.redeem_link(token) for token in ("", "x", "\0", "A" * 43, "é" * 300)]
    assert {answer.status_code for answer in answers} == {400}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1
    assert answers[0].json()["type"].endswith("/invalid-or-expired")
    assert (await recovery.redeem(target.email, code)).status_code == 200


async def test_five_wrong_attempts_kill_an_action_and_a_wrong_selector_does_not(recovery: Recovery) -> None:
    target = await recovery.account()
    first, code = await recovery.mailed_code(target)
    for _ in range(12):
        assert (await recovery.redeem(target.email, other_selector(code))).status_code == 400
    for _ in range(4):
        assert (await recovery.redeem(target.email, wrong(code))).status_code == 400
    assert (await recovery.status(first))["status"] == "sent"
    assert (await recovery.redeem(target.email, wrong(code))).status_code == 400
    assert (await recovery.redeem(target.email, code)).status_code == 400
    assert (await recovery.status(first))["status"] == "killed"
    (rejected,) = await recovery.events(target.account_id, "code-rejected")
    assert rejected["data"]["action_id"] == first
    assert rejected["data"]["count"] == 17
    assert len(rejected["data"]["networks"]) == 17


async def test_four_wrong_attempts_and_then_the_right_one(recovery: Recovery) -> None:
    target = await recovery.account()
    _, code = await recovery.mailed_code(target)
    for _ in range(4):
        await recovery.redeem(target.email, wrong(code))
    assert (await recovery.redeem(target.email, code)).status_code == 200


async def test_the_accounts_daily_limit(recovery: Recovery) -> None:
    admin, target = await recovery.expert(), await recovery.account()
    for _ in range(2):
        _, code = await recovery.mailed_code(target, admin)
        for _ in range(5):
            assert (await recovery.redeem(target.email, wrong(code))).status_code == 400
    refused = await recovery.send("recovery-codes", admin, target)
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("/attempts-used-up")
    assert (await recovery.send("access-emails", admin, target)).status_code == 202
    # A day later there are ten again.
    await recovery.execute(
        "UPDATE attempt_windows SET started_at = started_at - interval '24 hours' WHERE account_id = :id",
        id=target.account_id,
    )
    _, code = await recovery.mailed_code(target, admin)
    assert (await recovery.redeem(target.email, code)).status_code == 200


async def test_at_the_limit_a_right_code_is_refused_like_any_other(recovery: Recovery) -> None:
    target = await recovery.account()
    _, code = await recovery.mailed_code(target)
    await recovery.execute("INSERT INTO attempt_windows VALUES (:id, now(), 10)", id=target.account_id)
    assert (await recovery.redeem(target.email, code)).status_code == 400


async def test_right_codes_do_not_use_the_limit_up(recovery: Recovery) -> None:
    admin, target = await recovery.expert(), await recovery.account()
    for _ in range(12):
        _, code = await recovery.mailed_code(target, admin)
        assert (await recovery.redeem(target.email, code)).status_code == 200


async def test_expiry_by_the_databases_clock(recovery: Recovery) -> None:
    target = await recovery.account()
    action_id, code = await recovery.mailed_code(target)
    state = await recovery.status(action_id)
    lifetime = state["expires_at"] - state["issued_at"]
    assert timedelta(minutes=59) < lifetime < timedelta(minutes=61)
    for table in ("credentials", "actions"):
        sql = f"UPDATE {table} SET expires_at = expires_at - interval '1 hour' WHERE action_id = :id"
        await recovery.execute(sql, id=action_id)
    assert (await recovery.redeem(target.email, code)).status_code == 400
    await recovery.until(action_id, "expired")
    (expired,) = await wait_for(lambda: recovery.events(target.account_id, "expired"))
    assert expired["data"]["action_id"] == action_id


async def test_a_new_action_replaces_the_old_of_its_kind_only(recovery: Recovery) -> None:
    admin, target = await recovery.expert(), await recovery.account()
    old, old_code = await recovery.mailed_code(target, admin)
    link_action, token = await recovery.mailed_link(target, admin)
    _, new_code = await recovery.mailed_code(target, admin)
    assert (await recovery.status(old))["status"] == "superseded"
    assert (await recovery.redeem(target.email, old_code)).status_code == 400
    (cancelled,) = await recovery.events(target.account_id, "cancelled")
    assert cancelled["data"]["reason"] == "superseded"
    assert cancelled["data"]["action_id"] == old
    assert (await recovery.status(link_action))["status"] == "sent"
    assert (await recovery.redeem(target.email, new_code)).status_code == 200
    assert (await recovery.redeem_link(token)).status_code == 200


def later(recovery: Recovery, target: AccountData, kind: str, at: datetime) -> identity.IdentityEvent[Any]:
    account_id = target.account_id
    kinds: dict[str, tuple[type[Any], Any]] = {
        "signed-in": (identity.SigninSucceeded, identity.SigninSucceededData(account_id=account_id, ip="192.0.2.9")),
        "password-changed": (identity.PasswordChanged, identity.PasswordChangedData(account_id=account_id)),
        "email-changed": (
            identity.EmailChanged,
            identity.EmailChangedData(account_id=account_id, old=target.email, new=f"new.{target.email}"),
        ),
        "account-disabled": (
            identity.AccountReported,
            target.model_copy(update={"status": identity.AccountStatus.DISABLED}),
        ),
        "account-removed": (identity.AccountRemoved, identity.AccountRemovedData(account_id=account_id)),
    }
    event, data = kinds[kind]
    return recovery.event(event, data, at=at)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "kind", ["signed-in", "password-changed", "email-changed", "account-disabled", "account-removed"]
)
async def test_what_ends_codes_and_links(recovery: Recovery, kind: str) -> None:
    admin, target = await recovery.expert(), await recovery.account()
    code_action, code = await recovery.mailed_code(target, admin)
    link_action, token = await recovery.mailed_link(target, admin)
    await recovery.report(later(recovery, target, kind, datetime.now(UTC)))
    for action_id in (code_action, link_action):
        state = await recovery.status(action_id)
        assert (state["status"], state["ended_reason"]) == ("cancelled", kind)
    assert (await recovery.redeem(target.email, code)).status_code == 400
    assert (await recovery.redeem(f"new.{target.email}", code)).status_code == 400
    assert (await recovery.redeem_link(token)).status_code == 400
    cancelled = await recovery.events(target.account_id, "cancelled")
    assert [event["data"]["reason"] for event in cancelled] == [kind, kind]


async def test_an_earlier_event_that_comes_late_ends_nothing(recovery: Recovery) -> None:
    target = await recovery.account()
    before = datetime.now(UTC) - timedelta(seconds=1)
    _, code = await recovery.mailed_code(target)
    await recovery.report(
        later(recovery, target, "signed-in", before),
        later(recovery, target, "password-changed", before),
        recovery.event(identity.AccountLocked, identity.AccountLockedData(account_id=target.account_id)),
        recovery.event(identity.AccountUnlocked, identity.AccountUnlockedData(account_id=target.account_id)),
    )
    assert (await recovery.redeem(target.email, code)).status_code == 200


async def test_a_late_email_change_ends_what_went_to_the_old_address(recovery: Recovery) -> None:
    target = await recovery.account()
    action_id, code = await recovery.mailed_code(target)
    await recovery.report(later(recovery, target, "email-changed", datetime.now(UTC) - timedelta(minutes=5)))
    assert (await recovery.status(action_id))["status"] == "cancelled"
    assert (await recovery.redeem(target.email, code)).status_code == 400


async def test_two_hundred_simultaneous_redemptions_have_one_winner(recovery: Recovery) -> None:
    """CVE-2026-3590, keycloak #26106: check and use must be one step."""
    target = await recovery.account()
    action_id, code = await recovery.mailed_code(target)
    answers = await asyncio.gather(*(recovery.redeem(target.email, code) for _ in range(200)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 199
    link_action, token = await recovery.mailed_link(target)
    answers = await asyncio.gather(*(recovery.redeem_link(token) for _ in range(200)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 199
    assert len(await recovery.events(target.account_id, "code-redeemed")) == 1
    assert len(await recovery.events(target.account_id, "access-link-used")) == 1
    assert (await recovery.status(action_id))["status"] == "used"
    assert (await recovery.status(link_action))["status"] == "used"


async def test_of_five_hundred_parallel_guesses_five_are_compared(recovery: Recovery) -> None:
    target = await recovery.account()
    action_id, code = await recovery.mailed_code(target)
    guesses = [wrong(code) for _ in range(500)]
    answers = await asyncio.gather(*(recovery.redeem(target.email, guess) for guess in guesses))
    assert {answer.status_code for answer in answers} == {400}
    state = await recovery.status(action_id)
    assert (state["status"], state["wrong_attempts"]) == ("killed", 5)
    (window,) = await recovery.rows("SELECT attempts FROM attempt_windows WHERE account_id = :id", id=target.account_id)
    assert window.attempts == 5


async def test_refused_attempts_are_told_of_once_a_window(recovery: Recovery) -> None:
    nobody, target = f"{secrets.token_hex(5)}@example.org", await recovery.account()
    for _ in range(3):
        await recovery.redeem(nobody, "AAAA-AAAA-AAAAA", ip="203.0.113.5")
        await recovery.redeem(target.email, "AAAA-AAAA-AAAAA", ip="2001:db8:1:2:3::4")
    await recovery.execute("UPDATE rejections SET window_end = now() - interval '1 second'")
    (known,) = await wait_for(lambda: recovery.events(target.account_id, "code-rejected"))
    assert known["data"]["count"] == 3
    assert known["data"]["networks"] == ["2001:db8:1:2::/64"]
    assert "email_hash" not in known["data"]

    async def unknown() -> list[Any]:
        events = await recovery.events(kind="code-rejected")
        return [event for event in events if event["data"]["networks"] == ["203.0.113.5/32"]]

    (stranger,) = await wait_for(unknown)
    assert "subject" not in stranger
    assert nobody not in str(stranger)


async def test_no_selector_is_used_twice_among_what_can_be_used(recovery: Recovery) -> None:
    target = await recovery.account()
    action_id, _ = await recovery.mailed_code(target)
    async with recovery.plumbing.engine.begin() as connection:
        copy = text(
            "INSERT INTO credentials SELECT 'copy', action_id, address_hash, selector, lookup, key_id, salt, digest, "
            "created_at, expires_at FROM credentials WHERE action_id = :id ON CONFLICT DO NOTHING RETURNING 1"
        )
        assert (await connection.execute(copy, {"id": action_id})).first() is None


async def test_grant_keys_are_public_and_nothing_more(recovery: Recovery) -> None:
    answer = await recovery.call("GET", "/.well-known/jwks.json", None, NOTHING)
    (key,) = answer.json()["keys"]
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    assert key["kid"]
    assert "d" not in key


async def test_attempts_that_wait_leave_the_desk_its_connections(recovery: Recovery) -> None:
    """Attempts on one account wait for one row; with every connection there is, nobody could act on anything."""
    target, expert = await recovery.account(), await recovery.expert()
    await recovery.mailed_code(target)
    async with recovery.plumbing.engine.connect() as blocker:
        await blocker.execute(text("LOCK TABLE attempt_windows IN ACCESS EXCLUSIVE MODE"))
        attempts = [asyncio.create_task(recovery.redeem(target.email, "0000-0000-00000")) for _ in range(60)]
        await asyncio.sleep(0.3)
        async with asyncio.timeout(4):
            answer = await recovery.call("GET", f"/v1/accounts/{target.account_id}", expert)
        assert answer.status_code == 200
        await blocker.rollback()
    assert {answer.status_code for answer in await asyncio.gather(*attempts)} == {400}
