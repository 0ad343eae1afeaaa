"""The whole story as people live it: two browsers, the demo's own pages, nothing but clicking and typing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
import time

import pytest
from playwright.async_api import BrowserContext, Page

from tests.stack import CODE, Stack, eventually

pytestmark = pytest.mark.browser

NEW_PASSWORD = "seven quiet lanterns by the sea"


def one_time_password(secret: str) -> str:
    """What an authenticator app shows now (RFC 6238, SHA-1, six digits, 30 seconds)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


async def mail(stack: Stack, address: str, pattern: re.Pattern[str]) -> str:
    """What the pattern finds in a mail to the address, once there is one."""
    mailbox = stack.url("mailbox")

    async def look() -> str | None:
        found = await stack.client.get(f"{mailbox}/api/v1/search", params={"query": f"to:{address}"})
        for item in found.json()["messages"]:
            text = (await stack.client.get(f"{mailbox}/api/v1/message/{item['ID']}")).json()["Text"]
            if match := pattern.search(text):
                return match[0]
        return None

    return str(await eventually(look, 30, f"a mail to {address}"))


async def ask_for_help(page: Page, stack: Stack, address: str) -> str:
    """From the failed sign-in to the confirmation; returns the reference ID that the page shows."""
    await page.goto(stack.url("identity"))
    await page.get_by_label("Email").fill(address)
    await page.get_by_label("Password", exact=True).fill("not the password")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("link", name="Can't sign in?").click()
    await page.get_by_label("Email address").fill(address)
    await page.locator('input[name="issue"][value="lost-2fa"]').check()
    await page.get_by_role("button", name="Send request").click()
    shown = await page.locator(".code.big").inner_text()
    assert re.fullmatch(r"RA-[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]", shown)
    return shown


async def sign_in_to_console(page: Page, who: dict[str, str]) -> None:
    await page.get_by_label("Email").fill(who["email"])
    await page.get_by_label("Password", exact=True).fill(who["password"])
    await page.get_by_role("button", name="Sign in").click()


async def test_a_locked_out_person_gets_back_in(
    demo: Stack, person: BrowserContext, administrator: BrowserContext
) -> None:
    people = demo.ready["people"]
    erin = people["locked_out"]
    theirs, desk = await person.new_page(), await administrator.new_page()

    reference = await ask_for_help(theirs, demo, erin["email"])
    await mail(demo, people["expert"]["email"], re.compile(reference))  # in German: his account's locale says so

    # The administrator finds the account and sends a code.
    await desk.goto(f"{demo.url('recovery')}/console/users?query={erin['account_id']}")
    await sign_in_to_console(desk, people["expert"])
    await desk.locator("table a").first.click()
    await desk.get_by_text("Actions", exact=True).click()
    await desk.get_by_role("link", name="Send Recovery Code Email").click()
    await desk.get_by_label("Reason").select_option(index=1)
    await desk.get_by_label("How did you verify the person?").fill("Called back on the number on record")
    await desk.get_by_role("button", name=re.compile("Send")).click()
    code = await mail(demo, erin["email"], CODE)
    assert code not in await desk.content()

    # The person uses it, sets a new password, enrols a new second factor.
    await theirs.goto(f"{demo.url('recovery')}/recover")
    await theirs.get_by_label("Email address").fill(erin["email"])
    await theirs.get_by_label("Recovery code").fill(code)
    await theirs.get_by_label("Set a new password").check()
    await theirs.get_by_label("Remove my lost second factor").check()
    await theirs.get_by_role("button", name="Continue").click()
    await theirs.get_by_role("button", name="Continue").click()
    await theirs.get_by_label("New password").fill(NEW_PASSWORD)
    await theirs.get_by_label("The same again").fill(NEW_PASSWORD)
    await theirs.get_by_role("button", name="Set password").click()
    secret = (await theirs.locator("#secret").inner_text()).replace(" ", "")
    await theirs.locator("#code").fill(one_time_password(secret))
    await theirs.get_by_role("button", name="Turn on").click()
    await theirs.get_by_role("link", name="Sign in").click()

    # And signs in again.
    await theirs.get_by_label("Email").fill(erin["email"])
    await theirs.get_by_label("Password", exact=True).fill(NEW_PASSWORD)
    await theirs.get_by_role("button", name="Sign in").click()
    used = one_time_password(secret)  # a code works once (RFC 6238, section 5.2): the app has to show the next one
    await eventually(lambda: one_time_password(secret) != used, 35, "the next one-time password")
    await theirs.locator("#code").fill(one_time_password(secret))
    await theirs.get_by_role("button", name="Continue").click()
    await theirs.get_by_role("heading", name=re.compile("Signed in as")).wait_for()

    # The compliance team reads it all.
    auditor = await person.browser.new_context() if person.browser else administrator
    story = await auditor.new_page()
    await story.goto(f"{demo.url('audit')}/console/references/{reference}")
    await sign_in_to_console(story, people["auditor"])
    text = await story.locator("main").inner_text()
    assert reference in text
    assert "Called back on the number on record" in text
    assert code not in text


async def test_an_administrator_without_the_permission_is_told_why_not(
    demo: Stack, administrator: BrowserContext
) -> None:
    people = demo.ready["people"]
    desk = await administrator.new_page()
    await desk.goto(f"{demo.url('recovery')}/console/users?query={people['forgotten']['account_id']}")
    await sign_in_to_console(desk, people["admin"])
    await desk.locator("table a").first.click()
    await desk.get_by_text("Actions", exact=True).click()
    allowed = desk.get_by_role("link", name="Send Access Email")
    assert "dialog=access-email" in str(await allowed.get_attribute("href"))
    refused = desk.get_by_role("link", name="Send Recovery Code Email")
    assert await refused.get_attribute("aria-disabled") == "true"
    assert await refused.get_attribute("href") is None
    reason = await desk.locator(".unavailable", has_text="Send Recovery Code Email").inner_text()
    assert "needs data protection access of level 2; yours is 1" in reason

    # Forging the dialog's address gives no form.
    await desk.goto(f"{desk.url.partition('?')[0]}?dialog=recovery-code")
    assert await desk.locator("form").filter(has=desk.get_by_label("Reason")).count() == 0
    await desk.goto(f"{desk.url.partition('?')[0]}?dialog=access-email")  # the twin: the allowed one does
    assert await desk.locator("form").filter(has=desk.get_by_label("Reason")).count() == 1
