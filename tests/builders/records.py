"""Records that no client library sends: the protocol has them, so a stranger's client may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

BATCH_BYTES = 900_000  # with headers and overhead below the 1 MiB that topics take


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record, its header names as bytes."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[bytes, bytes | None]] = ()

    @property
    def size(self) -> int:
        return (
            len(self.value or b"") + len(self.key or b"") + sum(len(n) + len(c or b"") for n, c in self.headers) + 100
        )


class _Name(str):
    """A header name that is encoded to given bytes."""

    raw: bytes

    @classmethod
    def of(cls, raw: bytes) -> _Name:
        name = cls(raw.decode("latin-1"))
        name.raw = raw
        return name

    def encode(self, *_: Any, **__: Any) -> bytes:
        return self.raw


async def send_raw(producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[RawRecord]) -> int:
    """Sends records as they are, in one batch; returns the offset of the first when the broker has them."""
    batch = producer.create_batch()
    # The builder in Python: the compiled one takes no header name that is not UTF-8.
    batch._builder = _DefaultRecordBatchBuilderPy(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=sum(record.size for record in records) + 1000,
    )  # fmt: skip
    for record in records:
        headers = [(_Name.of(name), content) for name, content in record.headers]
        appended = batch.append(key=record.key, value=record.value, timestamp=None, headers=headers)
        assert appended is not None, "the batch is full"
    placed = await (await producer.send_batch(batch, topic, partition=partition))
    return int(placed.offset)
