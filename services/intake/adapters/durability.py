"""Writing while somebody waits for the answer: again after a passing failure, never longer than is polite."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.intake.domain.submission import NotDurable
from shared.kit.logging import get_logger
from shared.kit.messaging.errors import Disposition, classify

log = get_logger(__name__)

Result = TypeVar("Result")

LONGEST_WAIT = 4.5  # seconds until the 503, whatever the database does
LONGEST_RETRYING = 1.5  # seconds: a restarted PostgreSQL leaves a pool of dead connections, which a second try replaces
_FIRST_PAUSE = 0.02


async def durably(write: Callable[[], Awaitable[Result]], *, longest_wait: float = LONGEST_WAIT) -> Result:
    """The result of `write`, which must have its effect once however often it is called.

    Raises:
        NotDurable: the database is away or too slow.
    """
    # Waited for and not cancelled in place: taking a connection back from a hung server can take as long as the write.
    task = asyncio.ensure_future(_until_written(write))
    done, _ = await asyncio.wait({task}, timeout=longest_wait)
    if not done:
        task.cancel()
        task.add_done_callback(_forget)
        log.warning("database.too_slow")
        raise NotDurable
    return task.result()


async def _until_written(write: Callable[[], Awaitable[Result]]) -> Result:
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + LONGEST_RETRYING, _FIRST_PAUSE
    while True:
        try:
            return await write()
        except Exception as error:
            if classify(error) is not Disposition.RETRY:
                raise
            if loop.time() + pause > end:
                log.warning("database.unavailable", error=type(error).__name__)
                raise NotDurable from error
        await asyncio.sleep(pause)
        pause *= 2


def _forget(task: asyncio.Future[Result]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("database.write_failed_late", error=type(error).__name__)
