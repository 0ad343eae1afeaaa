"""A real browser opens hostile mail: nothing runs, nothing is fetched, links still open."""

from __future__ import annotations

import os
import shutil
import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.integration.demo.processes import free_ports, running
from tests.integration.demo.test_demo_mailbox import XSS
from tests.requirements import requires

CHROMIUM = os.environ.get("READMIT_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.browser
async def test_nothing_in_a_message_runs_or_is_fetched(tmp_path: Path) -> None:
    """CVE-2022-50908: stored script in a mail catcher's page."""
    if CHROMIUM is None:
        requires("Chromium")
    api = pytest.importorskip("playwright.async_api")
    port, smtp_port = free_ports(2)
    url = f"http://127.0.0.1:{port}"
    settings = {
        "READMIT_DEMO_DIR": str(tmp_path),
        "READMIT_DEMO_MAILBOX_PORT": str(port),
        "READMIT_DEMO_SMTP_PORT": str(smtp_port),
    }
    attack = "\n".join(XSS).replace("alert(1)", "top.document.title='PWNED',document.title='PWNED'")
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "readmit@example.org", "a@example.org", XSS[0]
    message.set_content(attack)
    message.add_alternative(f"<a id='link' href='{url}/livez'>a link</a>{attack}", subtype="html")
    with running("deploy.demo.mailbox", url, tmp_path / "log", **settings):
        with smtplib.SMTP("127.0.0.1", smtp_port) as smtp:
            smtp.send_message(message)
        async with api.async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            context = await browser.new_context()
            page = await context.new_page()
            asked: list[str] = []
            context.on("request", lambda request: asked.append(request.url))
            page.on("dialog", lambda dialog: pytest.fail("a dialog opened"))
            await page.goto(url)
            await page.click(".list a")
            for part in ("Headers", "Source", "Text", "HTML"):
                await page.click(f".tabs a:text-is('{part}')")
                await page.wait_for_load_state("networkidle")
                assert "PWNED" not in await page.title()
            frame = page.frames[1]
            assert frame.url.endswith("/html"), "not led elsewhere"
            async with context.expect_page() as opened:
                await frame.click("#link")
            popup = await opened.value
            assert popup.url == f"{url}/livez"
            assert await popup.evaluate("window.opener") is None
            assert all(address.startswith(url) for address in asked), asked
            await browser.close()
