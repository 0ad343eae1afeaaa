"""What this process does with the rows of its queues: the signs of life that the watchdog looks for.

faststream-outbox tells what became of rows (`record`, a metrics recorder); which jobs are in hand only a middleware
around the handlers sees, and it is there that a job's trace is picked up again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from faststream import BaseMiddleware, ContextRepo
from faststream.message import StreamMessage

from shared.kit.logging import get_logger
from shared.kit.messaging.errors import Disposition, classify
from shared.kit.messaging.tracing import trace

log = get_logger(__name__)

_FINISHED = frozenset({"acked", "nacked_terminal"})


@dataclass(slots=True)
class Signs:
    """One queue. Counts only grow; who compares two looks sees what happened in between."""

    looked: int = 0  # times that the queue was asked for rows
    finished: int = 0  # rows worked off, for good or for ill
    failed: int = 0  # attempts after which the row comes again
    last_error: str | None = None  # class name of the last failed attempt's error
    in_hand: dict[object, int] = field(default_factory=dict)  # jobs, and how often the watchdog saw each


class QueueActivity:
    """By queue, for the whole process."""

    def __init__(self) -> None:
        self._queues: dict[str, Signs] = {}

    def of(self, queue: str) -> Signs:
        return self._queues.setdefault(queue, Signs())

    def record(self, event: str, tags: Mapping[str, Any]) -> None:
        """The metrics recorder of an `OutboxBroker`."""
        if event == "published":  # by whoever enqueues, not by the worker
            return
        signs = self.of(str(tags["queue"]))
        if event == "fetched":
            signs.looked += 1
        elif event in _FINISHED:
            signs.finished += 1
        elif event == "nacked_retried":
            signs.failed += 1
            signs.last_error = tags.get("exception_type")

    def middleware(self, message: Any, /, *, context: ContextRepo) -> BaseMiddleware:
        """A broker middleware of an `OutboxBroker`."""
        return _JobInHand(message, context=context, activity=self)


class _JobInHand(BaseMiddleware):
    """Around each handler: the job is in hand, and what it logs and publishes belongs to the trace that enqueued it."""

    def __init__(self, message: Any, /, *, context: ContextRepo, activity: QueueActivity) -> None:
        super().__init__(message, context=context)
        self._activity = activity

    async def consume_scope(
        self, call_next: Callable[[StreamMessage[Any]], Awaitable[Any]], message: StreamMessage[Any]
    ) -> Any:
        in_hand, token = self._activity.of(message.raw_message.queue).in_hand, object()
        in_hand[token] = 0
        try:
            with trace(message.headers.get("traceparent")):
                return await call_next(message)
        except Exception as error:
            # The library says nothing of errors (hazard 9), and tries again. Of what is away for now others tell.
            if classify(error) is Disposition.STOP:
                log.error("job.failed", queue=message.raw_message.queue, exc_info=error)
            raise
        finally:
            del in_hand[token]
