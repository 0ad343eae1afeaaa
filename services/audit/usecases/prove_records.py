"""Proofs that what the log answers is what its checkpoints were signed over."""

from __future__ import annotations

from dataclasses import dataclass

from services.audit.domain.merkle import EMPTY_ROOT, assemble, consistency_ranges, inclusion_ranges, nodes_of
from services.audit.domain.notes import CheckpointSigner
from services.audit.ports import Archive


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """Shows that a record is in the tree of the checkpoint."""

    index: int
    tree_size: int
    leaf_hash: bytes
    proof: list[bytes]
    checkpoint: str


class UnknownSize(ValueError):
    """The log never had, or doesn't have yet, what is asked for."""


class ProveRecords:
    """Checkpoints and proofs."""

    def __init__(self, archive: Archive, signer: CheckpointSigner) -> None:
        self._archive = archive
        self._signer = signer

    async def checkpoint(self) -> str:
        """The note of the current checkpoint; of the empty tree while nothing was recorded."""
        async with self._archive.reading() as reading:
            current = await reading.checkpoint()
        return current[1] if current is not None else self._signer.sign(0, EMPTY_ROOT)

    async def inclusion(self, index: int) -> InclusionProof | None:
        """The proof for a record against the current checkpoint, or None when there is no such record."""
        async with self._archive.reading() as reading:
            current = await reading.checkpoint()
            if current is None or index >= current[0]:
                return None
            size, note = current
            ranges = inclusion_ranges(index, size)
            nodes = await reading.nodes(nodes_of(ranges) | {(0, index)})
        return InclusionProof(index, size, nodes[0, index], assemble(ranges, nodes), note)

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """Shows that the tree of `old` records is the beginning of that of `new`.

        Raises:
            UnknownSize: the sizes are out of order or larger than the log.
        """
        async with self._archive.reading() as reading:
            current = await reading.checkpoint()
            if not 0 <= old <= new <= (current[0] if current is not None else 0):
                raise UnknownSize("The sizes must be in order, and not larger than the current checkpoint's.")
            ranges = consistency_ranges(old, new)
            return assemble(ranges, await reading.nodes(nodes_of(ranges)))
