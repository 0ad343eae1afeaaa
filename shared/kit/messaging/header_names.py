"""Record headers whose names are not UTF-8: one of them must not stop a consumer.

The protocol says that header names are strings; brokers don't check. aiokafka 0.14 decodes them strictly while it
iterates over a fetched batch: `getone` raises UnicodeDecodeError, which ends FastStream's consumer, and `getmany`
passes over what it had read of the batch (hazard 6). So batches that fail to decode are read a second time by
aiokafka's own parser in Python, with the bytes of such names kept as lone surrogates (PEP 383).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

_PartitionRecords: Any = fetcher.PartitionRecords


def tolerate_header_names() -> None:
    """Has all consumers of this process read records whatever their headers are called."""
    fetcher.MemoryRecords = _KeptRecords
    fetcher.PartitionRecords = _TolerantPartitionRecords


class _KeptRecords:
    """aiokafka's records of a fetch, and the bytes that they were read from."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._records = MemoryRecords(raw)
        self.has_next = self._records.has_next
        self.next_batch = self._records.next_batch
        self.size_in_bytes = self._records.size_in_bytes


class _TolerantPartitionRecords(_PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    _records: Any

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except UnicodeDecodeError:
            # From the beginning: what was given out already lies before `next_fetch_offset` and is passed over.
            self._records = _TolerantRecords(self._records.raw)
            yield from super()._unpack_records()


class _TolerantRecords:
    """All batches of a fetch, by the parser in Python."""

    def __init__(self, raw: bytes) -> None:
        self._slices = _MemoryRecordsPy(raw)

    def has_next(self) -> bool:
        return bool(self._slices.has_next())

    def next_batch(self) -> Any:
        current = self._slices._next_slice
        batch = self._slices.next_batch()
        return _TolerantBatch(current) if current[_MemoryRecordsPy.MAGIC_OFFSET] >= 2 else batch


class _Text(bytearray):
    """Bytes that any decoder reads: in the parser the names of headers are all that is decoded."""

    def __getitem__(self, index: Any) -> Any:
        item = super().__getitem__(index)
        return _Text(item) if isinstance(index, slice) else item

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)


class _TolerantBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka has no types
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, _Text):
            self._buffer = _Text(self._buffer)
