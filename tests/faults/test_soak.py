"""The fault test in its short form, with the machine to itself (`make test-faults`). `make soak` is the long one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.soak import Plan, run


@pytest.mark.faults
@pytest.mark.timeout(900)
async def test_nothing_is_lost_and_nothing_done_twice(tmp_path: Path) -> None:
    kafka = "apache" if os.environ.get("READMIT_TEST_KAFKA") == "apache" else "embedded"
    outcome = await run(Plan(kills=20, seed=20, folder=tmp_path, kafka=kafka))
    failed = {verdict.name: verdict.first for verdict in outcome.verdicts if not verdict.holds}
    assert failed == {}
    assert outcome.counts["requests accepted"] / outcome.load_seconds >= 20
