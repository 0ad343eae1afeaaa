"""Delivers every record twice, as Kafka does when a commit was refused, with partitions interleaved by chance.

Within a partition records stay in their order: Kafka keeps that, and offsets that jumped about would be no test of
anything. What is out of order is what is in the topic (`shuffler`).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence

from shared.kit.messaging.consumer import Record, RecordProcessor


class Duplicator:
    """A processor in front of another one: each batch comes again, together with the last of those before it.

    It returns when all of that was processed, and raises what the other raises, so the offset moves on no sooner.
    """

    def __init__(self, process: RecordProcessor, window: int, chance: random.Random) -> None:
        self._process = process
        self._chance = chance
        self._recent: deque[Record] = deque(maxlen=window)

    async def __call__(self, records: Sequence[Record]) -> None:
        await self._process(self._interleaved(records))
        recent = list(self._recent)
        again = recent[len(recent) - self._chance.randint(0, len(recent)) :]
        await self._process(self._interleaved([*again, *records]))
        self._recent.extend(records)

    def _interleaved(self, records: Iterable[Record]) -> list[Record]:
        partitions: dict[tuple[str, int], deque[Record]] = {}
        for record in records:
            partitions.setdefault((record.topic, record.partition), deque()).append(record)
        left = list(partitions.values())
        order = []
        while left:
            chosen = self._chance.choice(left)
            order.append(chosen.popleft())
            if not chosen:
                left.remove(chosen)
        return order
