"""The whole way: an administrator asks, a mail goes out, the person redeems, the grant verifies."""

from __future__ import annotations

from datetime import UTC, datetime

from joserfc import jwt

from tests.integration.recovery.desk import AUDIENCE, CONTINUE, PUBLIC, Recovery, wait_for


async def test_a_recovery_code_from_the_admin_to_the_grant(recovery: Recovery) -> None:
    admin = await recovery.expert()
    target = await recovery.account(notification_emails=("second@example.net",))
    action_id, code = await recovery.mailed_code(target, admin, details="called back", reference_id="RA-7K2M-9QXT-5")

    answer = await recovery.redeem(target.email, code, ("reset-password", "remove-2fa"))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["expires_in"] == 600
    assert body["continue_url"] == CONTINUE
    assert answer.headers["cache-control"] == "no-store"

    grant = jwt.decode(body["grant"], recovery.grant_keys, algorithms=["ES256"])
    assert grant.header["typ"] == "readmit-grant+jwt"
    assert grant.claims["iss"] == PUBLIC
    assert grant.claims["aud"] == AUDIENCE
    assert grant.claims["sub"] == target.account_id
    assert grant.claims["actions"] == ["reset-password", "remove-2fa"]
    assert grant.claims["reference_id"] == "RA-7K2M-9QXT-5"
    assert 0 < grant.claims["exp"] - datetime.now(UTC).timestamp() <= 600
    assert grant.claims["jti"]

    state = (await recovery.call("GET", f"/v1/actions/{action_id}", admin)).json()
    assert state["status"] == "used"
    assert state["reference_id"] == "RA-7K2M-9QXT-5"
    types = [event["type"].split(".")[2] for event in await recovery.events(target.account_id)]
    assert types == ["code-requested", "code-sent", "code-redeemed"]

    again = await recovery.redeem(target.email, code)
    assert again.status_code == 400
    assert again.json()["type"].endswith("/invalid-or-expired")


async def test_an_access_email_from_the_admin_to_the_grant(recovery: Recovery) -> None:
    target = await recovery.account()
    action_id, token = await recovery.mailed_link(target)
    answer = await recovery.redeem_link(token)
    assert answer.status_code == 200
    grant = jwt.decode(answer.json()["grant"], recovery.grant_keys, algorithms=["ES256"])
    assert grant.claims["actions"] == ["reset-password"]
    assert grant.claims["sub"] == target.account_id
    assert "reference_id" not in grant.claims
    assert (await recovery.redeem_link(token)).status_code == 400
    assert (await recovery.status(action_id))["status"] == "used"


async def test_the_owner_is_told_at_every_address_and_the_code_goes_to_one(recovery: Recovery) -> None:
    target = await recovery.account(notification_emails=("elsewhere@example.net", "elsewhere@example.net"))
    before = len(recovery.sink.to("elsewhere@example.net"))
    _, code = await recovery.mailed_code(target)
    await wait_for(lambda: len(recovery.sink.to(target.email)) == 2)
    await wait_for(lambda: len(recovery.sink.to("elsewhere@example.net")) == before + 1)
    notices = [mail for mail in recovery.sink.to(target.email) if code not in mail.text]
    notices += recovery.sink.to("elsewhere@example.net")[before:]
    assert len(notices) == 2
    for notice in notices:
        assert code not in notice.raw.decode()
        assert "level 3, with expert mode" in notice.text
        assert "Was this not you?" in notice.text
        assert notice.message["Auto-Submitted"] == "auto-generated"
        assert notice.message.get_content_type() == "multipart/alternative"
