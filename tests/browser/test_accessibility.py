"""axe-core on the pages, in both colour schemes, on a phone of 320 pixels and a desk; and with the keyboard alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, ViewportSize

from tests.browser.test_story import sign_in_to_console
from tests.stack import Stack

pytestmark = pytest.mark.browser

# WCAG 2.2 at level AA, and what axe-core's authors advise beyond it.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
PHONE, DESK = ViewportSize(width=320, height=640), ViewportSize(width=1280, height=900)

NewPage = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture
async def new_page(browser: Browser) -> AsyncIterator[NewPage]:
    contexts = []

    async def make(**options: Any) -> Page:
        context = await browser.new_context(reduced_motion="reduce", **options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        return await context.new_page()

    yield make
    for context in contexts:
        await context.close()


async def form(page: Page, demo: Stack, language: str = "en") -> None:
    await page.goto(f"{demo.url('intake')}/?lang={language}")


async def form_in_arabic(page: Page, demo: Stack) -> None:
    await form(page, demo, "ar")


async def errors(page: Page, demo: Stack) -> None:
    await form(page, demo)
    await page.locator("form.card button[type=submit]").click()
    await page.locator("[role=alert]").wait_for()


async def confirmation(page: Page, demo: Stack, language: str = "de") -> None:
    await form(page, demo, language)
    await page.locator("input[type=email]").fill("nobody@example.org")
    await page.locator('input[name="issue"]').first.check()
    await page.locator("form.card button[type=submit]").click()
    await page.locator(".code.big").wait_for()


async def recover(page: Page, demo: Stack) -> None:
    await page.goto(f"{demo.url('recovery')}/recover")


async def users(page: Page, demo: Stack) -> None:
    await page.goto(f"{demo.url('recovery')}/console/users?query=example")
    await sign_in_to_console(page, demo.ready["people"]["expert"])
    await page.locator("table").first.wait_for()


async def account(page: Page, demo: Stack) -> None:
    await users(page, demo)
    await page.locator("table a").first.click()
    await page.get_by_text("Actions", exact=True).click()


async def dialog(page: Page, demo: Stack) -> None:
    await account(page, demo)
    await page.get_by_role("link", name="Send Recovery Code Email").click()
    await page.get_by_label("Reason").wait_for()


async def log(page: Page, demo: Stack) -> None:
    await page.goto(f"{demo.url('audit')}/console")
    await sign_in_to_console(page, demo.ready["people"]["auditor"])
    await page.locator("main").wait_for()


@pytest.mark.parametrize(
    "open_page", [form, form_in_arabic, errors, confirmation, recover, users, account, dialog, log]
)
async def test_axe_finds_nothing(demo: Stack, new_page: NewPage, open_page: Callable[..., Awaitable[None]]) -> None:
    found: list[str] = []
    page = await new_page(viewport=DESK, locale="en-GB")
    await open_page(page, demo)
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        for viewport in (PHONE, DESK):
            await page.set_viewport_size(viewport)
            results = await Axe().run(page, options=RULES)
            assert results.response["passes"], "axe looked at something"
            for violation in results.response["violations"]:
                nodes = "; ".join(node["html"][:160] for node in violation["nodes"][:3])
                found.append(f"{scheme} {viewport['width']}: {violation['id']}: {violation['help']}: {nodes}")
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if wide > 0:
                found.append(f"{scheme} {viewport['width']}: scrolls sideways by {wide} px")
    assert found == []


async def test_axe_finds_what_is_wrong(demo: Stack, new_page: NewPage) -> None:
    """So the test above does look."""
    page = await new_page(viewport=DESK)
    await form(page, demo)
    await page.evaluate("document.querySelector('input[type=email]').labels[0].remove()")
    results = await Axe().run(page, options=RULES)
    assert "label" in {violation["id"] for violation in results.response["violations"]}


async def test_at_four_hundred_percent_nothing_is_cut_off(demo: Stack, new_page: NewPage) -> None:
    """WCAG 2.2, 1.4.10 Reflow: 1280 pixels at 400 % are 320 wide, and 256 high."""
    page = await new_page(viewport={"width": 320, "height": 256}, device_scale_factor=4)
    for open_page in (form, form_in_arabic, errors, confirmation):
        await open_page(page, demo)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320, open_page.__name__


async def test_the_request_is_made_with_the_keyboard_alone(demo: Stack, new_page: NewPage) -> None:
    page = await new_page(viewport=DESK, java_script_enabled=False)
    await form(page, demo)
    await page.keyboard.press("Tab")
    assert "Skip" in await focused(page)
    await _tab_to(page, "email")
    await page.keyboard.type("keyboard@example.org")
    await _tab_to(page, "issue")
    await page.keyboard.press("Space")
    await page.keyboard.press("Tab")
    assert "Send request" in await focused(page)
    box = await page.locator(":focus").evaluate("e => getComputedStyle(e).outlineStyle + getComputedStyle(e).boxShadow")
    assert box != "nonenone", "what has the focus shows it"
    await page.keyboard.press("Enter")
    await page.locator(".code.big").wait_for()


async def test_errors_are_reached_and_lead_to_their_fields(demo: Stack, new_page: NewPage) -> None:
    page = await new_page(viewport=PHONE)
    await errors(page, demo)
    assert (await page.title()).startswith("Error: ")
    links = page.locator("[role=alert] a")
    assert await links.count() == 2
    await links.first.focus()
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.name") == "email"


async def focused(page: Page) -> str:
    return str(await page.locator(":focus").inner_text())


async def _tab_to(page: Page, name: str) -> None:
    for _ in range(10):
        await page.keyboard.press("Tab")
        if await page.locator(":focus").get_attribute("name") == name:
            return
    raise AssertionError(f"{name} is not reached with Tab")
