"""What becomes known of a job that fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faststream import ContextRepo

from shared.kit.mail.sender import TemporaryFailure
from shared.kit.messaging.activity import QueueActivity
from tests.unit.kit.conftest import Printed


async def run_job(error: Exception | None) -> None:
    """One job, as faststream-outbox runs it."""
    message: Any = SimpleNamespace(raw_message=SimpleNamespace(queue="mail"), headers={})

    async def handler(_: Any) -> None:
        if error is not None:
            raise error

    activity = QueueActivity()
    try:
        await activity.middleware(None, context=ContextRepo()).consume_scope(handler, message)
    finally:
        assert activity.of("mail").in_hand == {}


async def test_an_unforeseen_error_of_a_job_is_in_the_log_with_its_place(printed: Printed) -> None:
    """A mail job that a mistake of ours broke was tried again and again, and no line said why."""
    with pytest.raises(KeyError):
        await run_job(KeyError("delivery_id"))
    (line,) = printed.lines
    assert (line["event"], line["level"], line["queue"]) == ("job.failed", "error", "mail")
    assert line["exception"]["type"] == "builtins.KeyError"
    assert any("test_activity.py" in frame for frame in line["exception"]["frames"])


@pytest.mark.parametrize("error", [TemporaryFailure(451, "later"), ConnectionError()])
async def test_what_is_only_away_for_now_is_not_an_error(error: Exception, printed: Printed) -> None:
    with pytest.raises(type(error)):
        await run_job(error)
    await run_job(None)
    assert printed.lines == []
