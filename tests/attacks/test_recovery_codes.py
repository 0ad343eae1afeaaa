"""What an attacker with another person's code, many guesses, many addresses or a forged header can do: nothing."""

# ruff: noqa: F401, F811 (fixtures are imported to be found by name)
from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from sqlalchemy import event

from services.recovery.domain.secrets import SecretSealer
from services.recovery.ports import Window
from shared.kit.http.client_address import ClientAddress
from tests.engines import PostgresEngine
from tests.integration.recovery.conftest import recovery, sink
from tests.integration.recovery.desk import Recovery, running_recovery, wait_for
from tests.integration.recovery.smtp_sink import Sink
from tests.integration.recovery.test_redeeming import other_selector, wrong


async def test_another_persons_code_and_link_open_only_that_persons_account(recovery: Recovery) -> None:
    """CVE-2023-26481 (authentik): a recovery link set any user's password."""
    attacker, victim = await recovery.account(), await recovery.account()
    _, code = await recovery.mailed_code(attacker)
    await recovery.mailed_code(victim)
    assert (await recovery.redeem(victim.email, code)).status_code == 400
    assert (await recovery.redeem(f"{victim.email},{attacker.email}", code)).status_code == 400
    assert (await recovery.redeem(f"{victim.email}\n{attacker.email}", code)).status_code == 400
    body = {"email": attacker.email, "code": code, "actions": ["reset-password"], "account_id": victim.account_id}
    assert (await recovery.client.post("/v1/recovery-codes/redeem", json=body)).status_code == 422
    grant = jwt.decode(
        (await recovery.redeem(attacker.email, code)).json()["grant"], recovery.grant_keys, algorithms=["ES256"]
    )
    assert grant.claims["sub"] == attacker.account_id
    _, token = await recovery.mailed_link(attacker)
    answer = await recovery.redeem_link(token)
    grant = jwt.decode(answer.json()["grant"], recovery.grant_keys, algorithms=["ES256"])
    assert (grant.claims["sub"], grant.claims["actions"]) == (attacker.account_id, ["reset-password"])


class UnboundSealer(SecretSealer):
    """The twin: hashes that don't say whose they are."""

    def _digest(self, key_id: str, salt: bytes, secret: str, owner: str) -> bytes:
        return hmac.digest(self._keys[key_id], salt + secret.encode(), hashlib.sha256)


@pytest.mark.parametrize(("twin", "opened"), [(False, 400), (True, 200)])
async def test_a_hash_moved_to_another_account_opens_nothing(
    recovery: Recovery, monkeypatch: pytest.MonkeyPatch, twin: bool, opened: int
) -> None:
    """Somebody who can write to the table, but has no key, moves the hash of a code of their own."""
    if twin:
        monkeypatch.setattr(SecretSealer, "_digest", UnboundSealer._digest)
    attacker, victim = await recovery.account(), await recovery.account()
    mine, code = await recovery.mailed_code(attacker)
    theirs, _ = await recovery.mailed_code(victim)
    await recovery.execute(
        "UPDATE credentials AS t SET selector = m.selector, key_id = m.key_id, salt = m.salt, digest = m.digest "
        "FROM credentials AS m WHERE t.action_id = :theirs AND m.action_id = :mine",
        mine=mine,
        theirs=theirs,
    )
    assert (await recovery.redeem(victim.email, code)).status_code == opened


@pytest.mark.parametrize(("limited", "compared"), [(True, 10), (False, 30)])
async def test_spraying_over_many_codes_of_an_account(
    recovery: Recovery, monkeypatch: pytest.MonkeyPatch, limited: bool, compared: int
) -> None:
    """kratos #4606: five guesses a flow are as many as one likes, with as many flows as one likes.

    The twin has no limit of the account's.
    """
    if not limited:
        unlimited = Window(None, timedelta(days=1))
        monkeypatch.setattr(recovery.use_cases.redeem, "_window", unlimited)
        monkeypatch.setattr(recovery.use_cases.request_action, "_window", unlimited)
    admin, target = await recovery.expert(), await recovery.account()
    codes: list[str] = []
    for _ in range(6):
        if (await recovery.send("recovery-codes", admin, target)).status_code != 202:
            break
        code = (await wait_for(lambda: recovery.sink.codes(target.email)[len(codes) :]))[0]
        codes.append(code)
        for _ in range(5):
            await recovery.redeem(target.email, wrong(code))
    rows = await recovery.rows(
        "SELECT sum(wrong_attempts) AS compared FROM actions WHERE account_id = :id", id=target.account_id
    )
    assert rows[0].compared == compared


async def test_a_stranger_can_neither_kill_a_code_nor_lock_the_account_out(recovery: Recovery) -> None:
    target = await recovery.account()
    action_id, code = await recovery.mailed_code(target)
    for _ in range(60):
        await recovery.redeem(target.email, other_selector(code))
    state = await recovery.status(action_id)
    assert (state["status"], state["wrong_attempts"]) == ("sent", 0)
    assert (await recovery.redeem(target.email, code)).status_code == 200
    assert (await recovery.send("recovery-codes", await recovery.expert(), target)).status_code == 202


async def test_no_get_uses_anything_up(recovery: Recovery) -> None:
    """CVE-2019-1020018 (Discourse): mail scanners followed links, and consumed them."""
    target = await recovery.account()
    link, token = await recovery.mailed_link(target)
    code_action, code = await recovery.mailed_code(target)
    paths = [*recovery.app.openapi()["paths"], "/r", "/recover", f"/r/{token}", "/", "/signin/callback"]
    for path in paths:
        address = re.sub(r"\{[^}]*\}", token, path)
        for method in ("GET", "HEAD", "OPTIONS"):
            query = {"token": token, "code": code, "email": target.email, "actions": "reset-password"}
            answer = await recovery.client.request(method, address, params=query)
            assert "eyJ" not in answer.text  # no grant
    assert (await recovery.status(link))["status"] == "sent"
    assert (await recovery.status(code_action))["status"] == "sent"
    assert (await recovery.redeem_link(token)).status_code == 200


class LeftmostAddress(ClientAddress):
    """The twin: believes whatever the client wrote first."""

    def __call__(self, peer: str | None, headers: Any) -> str:
        return str((headers.getlist("X-Forwarded-For") or [peer or ""])[0]).split(",")[0].strip()


@pytest.mark.parametrize(("twin", "refused"), [(False, True), (True, False)])
async def test_the_networks_limit_is_not_evaded_by_a_header(
    postgres_engine: PostgresEngine,
    kafka_servers: list[str],
    sink: Sink,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    twin: bool,
    refused: bool,
) -> None:
    """GHSA-hm36-ffrh-c77c (Litestar), CVE-2023-36456 (authentik): a new X-Forwarded-For was a new client."""
    if twin:
        monkeypatch.setattr(ClientAddress, "__call__", LeftmostAddress.__call__)
    async with running_recovery(postgres_engine, kafka_servers, sink, tmp_path, READMIT_TRUSTED_PROXIES="") as recovery:
        answers = [await recovery.redeem("x@example.org", "A", ip=f"203.0.113.{n}") for n in range(30)]
        answers.append(await recovery.redeem_link("x", ip="203.0.113.99"))
        assert [answer.status_code for answer in answers[:30]] == [400] * 30
        assert (answers[30].status_code == 429) is refused
        if refused:
            assert 0 < int(answers[30].headers["Retry-After"]) <= 600
            assert answers[30].headers["content-type"] == "application/problem+json"
            page = await recovery.client.post("/recover", data={"email": "x"}, headers={"Sec-Fetch-Site": "none"})
            assert page.status_code == 429
            # Malformed attempts are attempts.
            malformed = await recovery.client.post("/v1/recovery-codes/redeem", content=b"{")
            assert malformed.status_code == 429


async def test_host_headers_reach_no_mail_and_no_page(recovery: Recovery) -> None:
    """CVE-2025-25198 (mailcow), CVE-2025-70948 (couch-auth): the link in the mail was built from Host."""
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    target = await recovery.account()
    answer = await recovery.send("access-emails", await recovery.expert(), target, headers=evil)
    assert answer.status_code == 202
    await wait_for(lambda: len(recovery.sink.to(target.email)) == 2)
    assert not any(b"evil.example" in mail.raw for mail in recovery.sink.to(target.email))
    token = recovery.sink.tokens(target.email)[0]
    page = await recovery.client.post("/r", data={"token": token}, headers={"Sec-Fetch-Site": "same-origin", **evil})
    assert page.status_code == 200
    assert "evil.example" not in page.text + str(page.headers)


_watched: ContextVar[list[str] | None] = ContextVar("watched", default=None)


@contextmanager
def statements(recovery: Recovery) -> Iterator[list[str]]:
    """The statements that this task sends to the database meanwhile; what runs in the background is another task."""
    seen: list[str] = []

    def before(_: Any, __: Any, statement: str, *___: Any) -> None:
        watched = _watched.get()
        if watched is not None:
            watched.append(" ".join(statement.split())[:60])

    engine = recovery.plumbing.engine.sync_engine
    event.listen(engine, "before_cursor_execute", before)
    token = _watched.set(seen)
    try:
        yield seen
    finally:
        _watched.reset(token)
        event.remove(engine, "before_cursor_execute", before)


async def test_every_address_costs_the_same_work(recovery: Recovery, monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2024-39329 (Django): time told which addresses have accounts. The same statements, the same comparisons."""
    with_code, without = await recovery.account(), await recovery.account()
    disabled = await recovery.account(status="disabled")
    _, code = await recovery.mailed_code(with_code)
    await wait_for(lambda: len(recovery.sink.to(with_code.email)) == 2)
    compared = 0
    digest = SecretSealer._digest

    def count(*arguments: Any) -> bytes:
        nonlocal compared
        compared += 1
        return digest(*arguments)

    monkeypatch.setattr(SecretSealer, "_digest", count)
    seen = []
    cases = (with_code.email, without.email, disabled.email, "nobody-at-all@example.org", "no address")
    for email in cases:
        compared = 0
        with statements(recovery) as sent:
            assert (await recovery.redeem(email, other_selector(code))).status_code == 400
        seen.append((tuple(sent), compared))
    assert seen == [seen[0]] * len(cases)
    assert seen[0][1] == 1
    assert len(seen[0][0]) == 2  # one to count and look, one to note the refusal
