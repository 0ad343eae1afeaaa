"""A demo identity platform for each test, from a folder that is prepared once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.demo.identity import credentials
from shared.schemas.identity import IdentityEvent
from shared.schemas.registry import decode
from tests.integration.demo.stand import PLATFORM, Platform, Readmit


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with hashed passwords: twenty of them take a second."""
    folder = tmp_path_factory.mktemp("platform")
    credentials(folder, PLATFORM)
    return folder


@pytest.fixture
async def platform(prepared: Path, tmp_path: Path) -> AsyncIterator[Platform]:
    made = Platform(tmp_path / "demo", prepared, Readmit())
    yield made
    await made.browser.aclose()
    # Whatever a test made the platform report, intake would take.
    for event in [*made.reported(), *made.readmit.events]:
        assert isinstance(decode(json.dumps(event).encode()), IdentityEvent)
