"""What recovery does by itself: sending the mails that are queued, and sweeping up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta
from typing import Any

from faststream_outbox import OutboxBroker

from services.recovery.adapters.mails import QUEUE
from services.recovery.usecases.send_mail import SendMail, TryAgain
from services.recovery.usecases.sweep import BATCH, Sweep
from shared.kit.logging import get_logger
from shared.kit.mail.retry import MailRetry
from shared.kit.mail.sender import TemporaryFailure

log = get_logger(__name__)

# The use case decides when a mail has failed, by the database's clock; the queue only must not give up before it does.
_HORIZON = timedelta(hours=48)
SWEEP_SECONDS = 2.0
FORGET_SECONDS = 3600.0


def register_mail(outbox: OutboxBroker, send: SendMail) -> None:
    """Subscribes the sender to its queue."""
    sending: set[str] = set()

    @outbox.subscriber(
        QUEUE,
        max_workers=4,  # each keeps a connection to the database
        retry_strategy=MailRetry(_HORIZON),
        lease_ttl_seconds=150,
        fetch_batch_size=8,
        min_fetch_interval=0.5,
        max_fetch_interval=2.0,
    )
    async def send_mail(job: dict[str, Any]) -> None:
        mail_id = job["mail_id"]
        if mail_id in sending:
            # The database restarted, which ended the lease: one of ours is at it still, and a second would be a second
            # code. It is asked again in a moment whether that one got through.
            raise TemporaryFailure(None, "the mail is being sent")
        sending.add(mail_id)
        try:
            await send(mail_id)
        except TryAgain:
            raise TemporaryFailure(None, "the mail is tried again") from None
        finally:
            sending.discard(mail_id)


class Sweeper:
    """Runs the sweep for as long as the service does."""

    def __init__(self, sweep: Sweep, interval: float = SWEEP_SECONDS) -> None:
        self._sweep = sweep
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        forgotten_at = float("-inf")
        while True:
            try:
                while await self._sweep.expire() == BATCH or await self._sweep.tell_rejections() == BATCH:
                    continue
                if time.monotonic() - forgotten_at > FORGET_SECONDS:
                    await self._sweep.forget()
                    forgotten_at = time.monotonic()
            except Exception as error:
                # The database is away, or something is wrong: what has run out is refused without the sweep too.
                log.warning("sweep.failed", error=type(error).__name__)
            await asyncio.sleep(self._interval)
