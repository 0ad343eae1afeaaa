"""The queue of recovery's mails: a job that comes again while its mail is being sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from services.recovery.jobs import register_mail
from services.recovery.usecases.send_mail import TryAgain
from shared.kit.mail.sender import TemporaryFailure

Job = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]


class Queue:
    """Keeps what is subscribed, for the test to call as the outbox would."""

    job: Job

    def subscriber(self, *_: Any, **__: Any) -> Callable[[Job], None]:
        def keep(job: Job) -> None:
            self.job = job

        return keep


def queue_of(send: Callable[[str], Awaitable[None]]) -> Job:
    queue: Any = Queue()
    register_mail(queue, send)  # type: ignore[arg-type]
    job: Job = queue.job
    return job


async def test_a_job_whose_lease_ended_with_the_database_is_not_begun_beside_itself() -> None:
    """Each attempt is another code: the second one would be sent with nobody dead."""
    sent, answered = [], asyncio.Event()

    async def send(mail_id: str) -> None:
        sent.append(mail_id)
        await answered.wait()

    job = queue_of(send)
    first = asyncio.create_task(job({"mail_id": "m-1"}))
    other = asyncio.create_task(job({"mail_id": "m-2"}))
    await asyncio.sleep(0)
    with pytest.raises(TemporaryFailure):
        await job({"mail_id": "m-1"})
    answered.set()
    await asyncio.gather(first, other)
    assert sorted(sent) == ["m-1", "m-2"]
    await job({"mail_id": "m-1"})  # and afterwards it is free again
    assert sent[2:] == ["m-1"]


async def test_a_mail_that_failed_may_be_tried_again() -> None:
    tries = []

    async def send(mail_id: str) -> None:
        tries.append(mail_id)
        raise TryAgain

    job = queue_of(send)
    for _ in range(2):
        with pytest.raises(TemporaryFailure):
            await job({"mail_id": "m-1"})
    assert tries == ["m-1", "m-1"]
