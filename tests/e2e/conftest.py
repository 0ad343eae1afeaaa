"""One stack for all end-to-end tests, and another on which every message comes twice and out of order.

Each test uses accounts and addresses of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.stack import Stack, running_stack

DISORDER = {"READMIT_ENVIRONMENT": "test", "READMIT_DISORDER_WINDOW": "16"}


@pytest_asyncio.fixture(scope="session", params=["calm", pytest.param("disorder", marks=pytest.mark.faults)])
async def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    environment = DISORDER if request.param == "disorder" else {}
    async with running_stack(Path(tmp_path_factory.mktemp("stack")), environment=environment) as running:
        yield running
