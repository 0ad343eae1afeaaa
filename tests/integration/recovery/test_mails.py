"""Mails: attempts, failures, permissions asked again, and no secret anywhere else."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from pathlib import Path

import pytest
from sqlalchemy import text

from services.recovery.domain.secrets import read_code
from services.recovery.usecases.send_mail import TryAgain
from shared.schemas import identity
from shared.schemas.identity import AccountReported, AccountStatus
from tests.engines import PostgresEngine
from tests.integration.recovery.desk import Recovery, running_recovery, wait_for
from tests.integration.recovery.smtp_sink import Sink, smtp_sink


async def mail_of(recovery: Recovery, action_id: str) -> str:
    (row,) = await recovery.rows("SELECT mail_id FROM mails WHERE action_id = :id AND purpose = 'action'", id=action_id)
    return str(row.mail_id)


async def queued(recovery: Recovery, kind: str, **changes: object) -> tuple[str, identity.AccountData]:
    """An action whose mail no worker takes: the test makes the attempts."""
    admin, target = await recovery.expert(), await recovery.account(**changes)
    recovery.sink.answers[:] = ["451 4.3.0 later"]
    answer = await recovery.send(kind, admin, target)
    action_id: str = answer.json()["action_id"]

    async def attempted() -> bool:
        return bool(
            await recovery.rows(
                "SELECT 1 FROM mails WHERE action_id = :id AND purpose = 'action' AND smtp_status = 451", id=action_id
            )
        )

    await wait_for(attempted)
    await recovery.execute(
        "DELETE FROM outbox WHERE queue = 'mail' AND convert_from(payload, 'UTF8') LIKE :mail",
        mail=f"%{await mail_of(recovery, action_id)}%",
    )
    return action_id, target


async def test_each_attempt_has_a_code_of_its_own_and_any_of_them_is_good_once(recovery: Recovery) -> None:
    admin, target = await recovery.expert(), await recovery.account()
    recovery.sink.answers[:] = ["taken, and the answer lost"]
    answer = await recovery.send("recovery-codes", admin, target)
    action_id = answer.json()["action_id"]
    await recovery.until(action_id, "sent", seconds=20)
    first, second = recovery.sink.codes(target.email)
    assert first != second
    assert first[:4] != second[:4]
    mails = [mail.message["Message-ID"] for mail in recovery.sink.mails if first in mail.text or second in mail.text]
    assert len(set(mails)) == 2
    (sent,) = await recovery.events(target.account_id, "code-sent")
    assert sent["data"]["attempt"] == 2
    assert (await recovery.redeem(target.email, first)).status_code == 200
    assert (await recovery.redeem(target.email, second)).status_code == 400
    # One notice, though the mail was tried twice.
    await wait_for(lambda: len(recovery.sink.to(target.email)) == 3)


@pytest.mark.parametrize("kind", ["recovery-codes", "access-emails"])
async def test_what_was_used_was_sent_though_nobody_lived_to_write_that_down(recovery: Recovery, kind: str) -> None:
    """Found by the fault test: a code redeemed before its sender's successor came to it was never told to be sent."""
    action_id, target = await queued(recovery, kind)
    mail_id = await mail_of(recovery, action_id)
    recovery.sink.answers[:] = ["taken, and the answer lost"]
    with pytest.raises(TryAgain):
        await recovery.use_cases.send_mail(mail_id)
    if kind == "recovery-codes":
        (code,) = recovery.sink.codes(target.email)
        assert (await recovery.redeem(target.email, code)).status_code == 200
    else:
        (token,) = recovery.sink.tokens(target.email)
        assert (await recovery.redeem_link(token)).status_code == 200
    for _ in range(2):
        await recovery.use_cases.send_mail(mail_id)
    sent = "code-sent" if kind == "recovery-codes" else "access-email-sent"
    (event,) = await recovery.events(target.account_id, sent)
    assert (event["data"]["action_id"], event["data"]["attempt"]) == (action_id, 2)
    assert (await recovery.status(action_id))["status"] == "used"
    (mail,) = await recovery.rows("SELECT status, message_id FROM mails WHERE mail_id = :id", id=mail_id)
    assert (mail.status, mail.message_id) == ("sent", event["data"]["message_id"])


@pytest.mark.parametrize("kind", ["recovery-codes", "access-emails"])
async def test_a_5xx_answer_is_the_end(recovery: Recovery, kind: str) -> None:
    admin, target = await recovery.expert(), await recovery.account()
    recovery.sink.answers[:] = ["550 5.1.1 no such\x08 mailbox"]
    action_id = (await recovery.send(kind, admin, target)).json()["action_id"]
    await recovery.until(action_id, "failed")
    (failed,) = await recovery.events(target.account_id, "email-failed")
    assert failed["data"]["smtp_status"] == 550
    assert failed["data"]["outcome"] == "failure"
    assert failed["data"]["purpose"] == "action"
    assert "no such" in failed["data"]["server_answer"]
    assert (await recovery.call("GET", f"/v1/actions/{action_id}", admin)).json()["status"] == "failed"


@pytest.mark.parametrize(("kind", "hours"), [("recovery-codes", 1), ("access-emails", 24)])
async def test_a_mail_is_tried_for_so_long_and_then_has_failed(recovery: Recovery, kind: str, hours: int) -> None:
    action_id, target = await queued(recovery, kind)
    mail_id = await mail_of(recovery, action_id)
    age = "UPDATE mails SET created_at = now() - make_interval(mins => :minutes) WHERE mail_id = :id"
    await recovery.execute(age, minutes=hours * 60 - 10, id=mail_id)
    recovery.sink.answers[:] = ["451 4.3.0 later"]
    with pytest.raises(TryAgain):
        await recovery.use_cases.send_mail(mail_id)
    await recovery.execute(age, minutes=hours * 60, id=mail_id)
    recovery.sink.answers[:] = ["451 4.3.0 later"]
    await recovery.use_cases.send_mail(mail_id)
    assert (await recovery.status(action_id))["status"] == "failed"
    assert len(await recovery.events(target.account_id, "email-failed")) == 1
    assert recovery.sink.codes(target.email) == recovery.sink.tokens(target.email) == []
    recovery.sink.answers.clear()


async def test_a_permission_revoked_meanwhile_stops_the_mail(recovery: Recovery) -> None:
    admin, target = await recovery.expert(), await recovery.account()
    recovery.sink.answers[:] = ["451 4.3.0 later"]
    answer = await recovery.send("recovery-codes", admin, target)
    action_id = answer.json()["action_id"]
    await wait_for(lambda: not recovery.sink.answers)
    revoked = admin.model_copy(update={"expert_mode": False})
    await recovery.report(recovery.event(AccountReported, revoked, at=datetime.now(UTC)))
    await recovery.until(action_id, "denied")
    assert recovery.sink.codes(target.email) == []
    (denied,) = await recovery.events(target.account_id, "action-denied")
    assert denied["data"]["action_id"] == action_id
    assert denied["data"]["reason"] == "permission"
    assert denied["data"]["actor"] == admin.account_id


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": AccountStatus.DISABLED}, "cancelled"),
        ({"email": ""}, "cancelled"),
        ({"data_protection_access": 9}, "denied"),
    ],
)
async def test_a_target_changed_meanwhile_stops_the_mail(
    recovery: Recovery, changes: dict[str, object], status: str
) -> None:
    action_id, target = await queued(recovery, "access-emails")
    changed = target.model_copy(update=changes)
    await recovery.report(recovery.event(AccountReported, changed, at=datetime.now(UTC)))
    await recovery.use_cases.send_mail(await mail_of(recovery, action_id))
    assert (await recovery.status(action_id))["status"] == status
    assert recovery.sink.tokens(target.email) == []


async def test_what_the_mails_hold(recovery: Recovery) -> None:
    admin, target = await recovery.expert(), await recovery.account(display_name="<b>Eve</b>\u202e")
    reference = "RA-7K2M-9QXT-5"
    _, code = await recovery.mailed_code(target, admin, reference_id=reference, details="<i>secret plan</i>")
    _, token = await recovery.mailed_link(target, admin, reference_id=reference)
    await wait_for(lambda: len(recovery.sink.to(target.email)) == 4)
    for mail in recovery.sink.to(target.email):
        assert mail.message.get_content_type() == "multipart/alternative"
        assert mail.message["Auto-Submitted"] == "auto-generated"
        assert parseaddr(mail.message["To"])[1] == target.email
        assert len(mail.raw) < 60_000
        html = mail.part("html")
        for part in (mail.text, html):
            assert reference in part
            assert "level 3, with expert mode" in part
            assert "secret plan" not in part
            assert "helpdesk@meridian.example.org" in part
            assert admin.display_name not in part
        assert not re.search(r"""(src|background)=["']?(http|//)""", html)
        assert "<script" not in html
        assert "<form" not in html
    (code_mail,) = [mail for mail in recovery.sink.to(target.email) if code in mail.text]
    assert code in code_mail.part("html")
    assert f"{recovery.settings.public_recovery_url}/recover" in code_mail.text
    (link_mail,) = [mail for mail in recovery.sink.to(target.email) if token in mail.text]
    link = f"{recovery.settings.public_recovery_url}/r#{token}"
    assert link in link_mail.text.splitlines()
    assert f"    {token}" in link_mail.text.splitlines()
    assert link in link_mail.part("html")


async def test_no_secret_rests_anywhere(recovery: Recovery, capfd: pytest.CaptureFixture[str]) -> None:
    """A byte search over every column of every table, and over what was logged."""
    admin, target = await recovery.expert(), await recovery.account()
    _, code = await recovery.mailed_code(target, admin)
    _, token = await recovery.mailed_link(target, admin)
    code_grant = (await recovery.redeem(target.email, code)).json()["grant"]
    link_grant = (await recovery.redeem_link(token)).json()["grant"]
    await wait_for(lambda: len(recovery.sink.to(target.email)) == 4)
    canonical = read_code(code)
    assert canonical is not None
    needles = [code, canonical, code[5:], canonical[4:], token, code_grant, link_grant]
    needles += [needle.lower() for needle in needles]
    everything = []
    for row in await recovery.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        # As text and as bytes: a bytea is shown in hexadecimal.
        for found in await recovery.rows(f'SELECT t::text AS row FROM "{row.tablename}" AS t'):
            everything.append(found.row)
            everything += [
                bytes.fromhex(digits).decode("latin-1") for digits in re.findall(r"\\x((?:[0-9a-f]{2})+)", found.row)
            ]
    held = "\n".join(everything)
    out, err = capfd.readouterr()
    assert target.account_id in held
    for needle in needles:
        assert needle not in held
        assert needle not in out + err


async def test_an_answer_that_repeats_the_code_is_not_kept(recovery: Recovery) -> None:
    action_id, target = await queued(recovery, "recovery-codes")

    recovery.sink.answers[:] = ["echo"]
    await recovery.use_cases.send_mail(await mail_of(recovery, action_id))
    (row,) = await recovery.rows(
        "SELECT status, server_answer FROM mails WHERE action_id = :id AND purpose = 'action'", id=action_id
    )
    assert row.status == "failed"
    assert row.server_answer == "(the answer repeated the message)"
    (failed,) = await recovery.events(target.account_id, "email-failed")
    assert failed["data"]["server_answer"] == row.server_answer


async def test_without_a_mail_server_the_request_is_taken_all_the_same(
    postgres_engine: PostgresEngine, kafka_servers: list[str], tmp_path: Path
) -> None:
    with smtp_sink() as gone:
        port = gone.port
    async with running_recovery(postgres_engine, kafka_servers, Sink(port=port), tmp_path) as recovery:
        answer = await recovery.send("recovery-codes", await recovery.expert(), await recovery.account())
        assert answer.status_code == 202
        action_id = answer.json()["action_id"]

        async def tried() -> bool:
            return bool(await recovery.rows("SELECT 1 FROM mails WHERE action_id = :id AND attempts > 0", id=action_id))

        await wait_for(tried)
        assert (await recovery.status(action_id))["status"] == "queued"


async def test_jobs_hold_ids_only(recovery: Recovery) -> None:
    action_id, _ = await queued(recovery, "recovery-codes")
    mail_id = await mail_of(recovery, action_id)
    async with recovery.plumbing.engine.begin() as connection:
        await connection.execute(text("SELECT 1"))
    async with recovery.plumbing.database.begin() as unit:
        unit.enqueue("mail", {"mail_id": mail_id}, not_before=datetime.now(UTC) + timedelta(days=1))
    rows = await recovery.rows(
        "SELECT convert_from(payload, 'UTF8') AS job FROM outbox WHERE convert_from(payload, 'UTF8') LIKE :mail",
        mail=f"%{mail_id}%",
    )
    assert [json.loads(row.job) for row in rows] == [{"mail_id": mail_id}]
    await recovery.execute("DELETE FROM outbox WHERE convert_from(payload, 'UTF8') LIKE :mail", mail=f"%{mail_id}%")
