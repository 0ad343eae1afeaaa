"""The pages: what a person sees, what a scanner can't use up, and what an administrator may press."""

from __future__ import annotations

import html
import re
import secrets
from typing import Any

import httpx
import pytest
from joserfc import jwt
from starlette.responses import Response

from shared.schemas.identity import AccountData, AccountReported
from shared.web.sessions import Sessions
from tests.integration.recovery.desk import CONTINUE, PUBLIC, Recovery, wait_for

SAME = {"Sec-Fetch-Site": "same-origin"}


def grant_in(page: httpx.Response) -> str:
    found = re.search(
        r'<form method="post" action="([^"]+)">\s*<input type="hidden" name="grant" value="([^"]+)"', page.text
    )
    assert found, page.text
    assert html.unescape(found[1]) == CONTINUE
    return found[2]


async def post(recovery: Recovery, path: str, data: dict[str, Any], **headers: str) -> httpx.Response:
    sent = {"X-Forwarded-For": recovery.fresh_ip(), **SAME, **headers}
    return await recovery.client.post(path, data=data, headers=sent)


async def test_a_link_is_used_by_the_button_and_by_nothing_else(recovery: Recovery) -> None:
    """CVE-2019-1020018: mail scanners open links."""
    target = await recovery.account()
    action_id, token = await recovery.mailed_link(target)
    for _ in range(3):
        opened = await recovery.client.get("/r")
        assert opened.status_code == 200
        assert (await recovery.client.head("/r")).status_code == 200
        assert (await recovery.client.get(f"/r?token={token}")).status_code == 200
    assert (await recovery.status(action_id))["status"] == "sent"
    assert opened.headers["referrer-policy"] == "no-referrer"
    assert opened.headers["cache-control"] == "no-store"
    assert "script-src 'self'" in opened.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]* src=)", opened.text)

    page = await post(recovery, "/r", {"token": token})
    assert page.status_code == 200
    grant = jwt.decode(grant_in(page), recovery.grant_keys, algorithms=["ES256"])
    assert grant.claims["sub"] == target.account_id
    policy = page.headers["content-security-policy"]
    assert "form-action 'self' https://id.example.org;" in policy
    assert "script-src" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    again = await post(recovery, "/r", {"token": token})
    assert again.status_code == 400
    assert "not valid, or not any more" in again.text


async def test_a_whole_link_may_be_pasted(recovery: Recovery) -> None:
    _, token = await recovery.mailed_link(await recovery.account())
    assert (await post(recovery, "/r", {"token": f" {PUBLIC}/r#{token} "})).status_code == 200


async def test_a_code_by_the_page(recovery: Recovery) -> None:
    target = await recovery.account()
    _, code = await recovery.mailed_code(target)
    empty = await recovery.client.get("/recover")
    assert empty.status_code == 200
    assert "script-src" not in empty.headers["content-security-policy"]
    missing = await post(recovery, "/recover", {"email": "", "code": ""})
    assert missing.status_code == 422
    assert missing.text.count('class="error"') == 3
    wrong = await post(
        recovery, "/recover", {"email": target.email, "code": "AAAA-AAAA-AAAAA", "actions": "remove-2fa"}
    )
    assert wrong.status_code == 400
    nobody = await post(
        recovery,
        "/recover",
        {"email": f'"><x>{secrets.token_hex(3)}@example.org', "code": "A", "actions": "remove-2fa"},
    )
    assert "<x>" not in nobody.text
    actions = ["reset-password", "remove-2fa"]
    page = await post(recovery, "/recover", {"email": target.email, "code": code, "actions": actions})
    grant = jwt.decode(grant_in(page), recovery.grant_keys, algorithms=["ES256"])
    assert grant.claims["actions"] == actions
    assert code not in page.text


@pytest.mark.parametrize("path", ["/r", "/recover"])
async def test_forms_from_elsewhere_are_refused(recovery: Recovery, path: str) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "", "Origin": "https://evil.example"}):
        answer = await recovery.client.post(path, data={"token": "x"}, headers={k: v for k, v in headers.items() if v})
        assert answer.status_code == 403
    huge = await recovery.client.post(path, data={"token": "x" * 20_000}, headers=SAME)
    assert huge.status_code == 413
    assert (await recovery.client.post(path, json={"token": "x"}, headers=SAME)).status_code == 415


async def test_the_script_says_nothing_to_anybody(recovery: Recovery) -> None:
    script = await recovery.client.get("/static/link.js")
    assert script.headers["content-type"].startswith("text/javascript")
    for word in ("fetch", "XMLHttpRequest", "sendBeacon", "submit", "http", "import", "eval", "innerHTML"):
        assert word not in script.text.replace('"use strict"', "")


class Browser:
    """A signed-in administrator's."""

    def __init__(self, recovery: Recovery, account: AccountData | None, scope: str = "readmit.recover") -> None:
        self.recovery = recovery
        self.sessions = Sessions(service="recovery", keys=list(recovery.settings.session_key.keys), public_url=PUBLIC)
        response = Response()
        account_id = account.account_id if account else None
        self.session = self.sessions.start(
            response, subject=account_id or "subject", account=account_id, scopes=frozenset({scope})
        )
        self.cookie = response.headers["set-cookie"].partition(";")[0]

    async def get(self, path: str) -> httpx.Response:
        return await self.recovery.client.get(path, headers={"Cookie": self.cookie})

    async def post(self, path: str, data: dict[str, str], **headers: str) -> httpx.Response:
        sent = {"Cookie": self.cookie, **SAME, **headers}
        return await self.recovery.client.post(path, data=data, headers=sent)

    async def form(self, path: str) -> dict[str, str]:
        page = await self.get(path)
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text)
        prefilled = re.search(r'name="reference_id"[^>]*value="([^"]*)"', page.text)
        return dict(fields) | ({"reference_id": prefilled[1]} if prefilled else {})


async def test_the_console_asks_to_sign_in_first(recovery: Recovery) -> None:
    for path in ("/console/users", "/console/users/x", "/console/actions/x"):
        answer = await recovery.client.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/signin?next=")
    assert (await recovery.client.post("/console/users/x/access-emails", headers=SAME)).status_code == 401
    assert (await Browser(recovery, await recovery.expert(), "readmit.audit").get("/console/users")).status_code == 403
    assert (await Browser(recovery, await recovery.account()).get("/console/users")).status_code == 403
    assert (await Browser(recovery, None).get("/console/users")).status_code == 403
    assert (await recovery.client.get("/signin")).status_code == 503  # no client is configured


async def test_from_the_search_to_a_sent_code(recovery: Recovery) -> None:
    target = await recovery.account(display_name="<b>Kim</b> " + secrets.token_hex(4))
    browser = Browser(recovery, await recovery.expert())
    users = await browser.get(f"/console/users?query={target.account_id}")
    link = re.search(r'<a href="(/console/users/[^"?]+)">', users.text)
    assert link
    assert "&lt;b&gt;Kim" in users.text
    user = await browser.get(link[1])
    assert "Send Access Email" in user.text
    assert "Send Recovery Code Email" in user.text
    assert "aria-disabled" not in user.text
    fields = await browser.form(f"{link[1]}?dialog=recovery-code")
    path = f"{link[1]}/recovery-codes"
    incomplete = await browser.post(path, fields | {"reason": ""})
    assert incomplete.status_code == 422
    assert "There is a problem" in incomplete.text
    bad = await browser.post(path, fields | {"reason": "other", "on_behalf_of": "nobody", "details": "kept"})
    assert bad.status_code == 422
    assert "kept" in bad.text
    filled = fields | {"reason": "lost-device", "details": "two\r\nlines", "verification_method": "called back"}
    sent = await browser.post(path, filled)
    assert sent.status_code == 303, sent.text
    again = await browser.post(path, filled)
    assert again.headers["location"] == sent.headers["location"]
    action_id = sent.headers["location"].rpartition("/")[2]
    await recovery.until(action_id, "sent")
    page = await browser.get(sent.headers["location"])
    assert "The mail server took the mail" in page.text
    assert "called back" in page.text
    assert recovery.sink.codes(target.email)[0] not in page.text
    (asked,) = await recovery.events(target.account_id, "code-requested")
    assert asked["data"]["details"] == "two\nlines"
    assert asked["data"]["verification"] == {"method": "called back"}
    assert "Recovery code asked for" in (await browser.get(link[1])).text


async def test_what_may_not_be_done_is_shown_with_the_reason(recovery: Recovery) -> None:
    level_one = await recovery.account(data_protection_access=1)
    target = await recovery.account()
    browser = Browser(recovery, level_one)
    page = await browser.get(f"/console/users/{target.account_id}")
    assert "A recovery code needs data protection access of level 2; yours is 1." in page.text
    assert page.text.count("aria-disabled") == 1
    assert "<dialog" not in (await browser.get(f"/console/users/{target.account_id}?dialog=recovery-code")).text
    own = await browser.get(f"/console/users/{level_one.account_id}")
    assert "Nobody acts on their own account" in own.text
    forged = await browser.form(f"/console/users/{target.account_id}?dialog=access-email")
    refused = await browser.post(f"/console/users/{target.account_id}/recovery-codes", forged | {"reason": "other"})
    assert refused.status_code == 403
    assert await recovery.events(target.account_id, "code-requested") == []


async def test_forged_and_stale_forms(recovery: Recovery) -> None:
    admin, target = await recovery.expert(), await recovery.account()
    browser, path = Browser(recovery, admin), f"/console/users/{target.account_id}"
    fields = await browser.form(f"{path}?dialog=access-email") | {"reason": "other"}
    send = f"{path}/access-emails"
    assert (await browser.post(send, fields, **{"Sec-Fetch-Site": "cross-site"})).status_code == 403
    assert (await browser.post(send, fields | {"csrf_token": ""})).status_code == 403
    stranger = Browser(recovery, admin)
    assert (await stranger.post(send, fields)).status_code == 403
    revoked = admin.model_copy(update={"data_protection_access": 0})
    await recovery.report(recovery.event(AccountReported, revoked))
    assert (await browser.post(send, fields)).status_code == 403
    assert await recovery.events(target.account_id, "access-email-requested") == []
    assert len(await wait_for(lambda: recovery.events(target.account_id, "action-denied"))) == 1


async def test_the_form_knows_the_open_request(recovery: Recovery) -> None:
    from tests.integration.recovery.test_requests import submit

    target = await recovery.account()
    ref = await submit(recovery, target)
    browser = Browser(recovery, await recovery.expert())
    fields = await browser.form(f"/console/users/{target.account_id}?dialog=access-email")
    assert fields["reference_id"] == ref
