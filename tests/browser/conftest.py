"""The demo, in a real Chromium. Skipped where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.requirements import requires
from tests.stack import Stack, running_stack

# Nothing that talks to the outside by itself.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest_asyncio.fixture(scope="session")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    _chromium()
    async with running_stack(Path(tmp_path_factory.mktemp("demo")), demo=True) as running:
        yield running


def _chromium() -> str:
    path = os.environ.get("READMIT_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        requires("Chromium (apt install chromium, or READMIT_TEST_CHROMIUM=/path)")
    assert path is not None
    return path


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = _chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def person(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A person's browser."""
    context = await browser.new_context(viewport={"width": 390, "height": 844}, locale="en-GB")
    context.set_default_timeout(15_000)
    yield context
    await context.close()


@pytest_asyncio.fixture
async def administrator(browser: Browser) -> AsyncIterator[BrowserContext]:
    """An administrator's browser."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_default_timeout(15_000)
    yield context
    await context.close()
