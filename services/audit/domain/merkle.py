"""The Merkle tree of RFC 6962, section 2.1 (the same as RFC 9162's): hashes, growth, proofs and their verification.

Only complete subtrees have stored nodes: `(level, index)` covers the leaves from `index * 2**level` on, `2**level` of
them. The right edge is folded from those when it is needed, so nothing that was stored ever changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Node = tuple[int, int]
"""Level and index."""


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def cover(begin: int, end: int) -> list[Node]:
    """The fewest complete subtrees that cover the leaves `[begin, end)`, left to right."""
    nodes = []
    while begin < end:
        level = (begin & -begin).bit_length() - 1 if begin else (end - begin).bit_length() - 1
        while 1 << level > end - begin:
            level -= 1
        nodes.append((level, begin >> level))
        begin += 1 << level
    return nodes


def fold(hashes: Sequence[bytes]) -> bytes:
    """The hash of a range from those of its `cover`."""
    if not hashes:
        return EMPTY_ROOT
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


@dataclass
class Frontier:
    """The right edge of a growing tree: all that appending needs."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)
    """Hashes of `cover(0, size)`."""

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Adds a leaf hash; returns the nodes above it that became complete: level, index, hash."""
        completed = []
        current, level, index = leaf, 0, self.size
        while index & 1:
            current = node_hash(self.peaks.pop(), current)
            level, index = level + 1, index >> 1
            completed.append((level, index, current))
        self.peaks.append(current)
        self.size += 1
        return completed

    @property
    def root(self) -> bytes:
        return fold(self.peaks)


def _split(size: int) -> int:
    """The largest power of two smaller than the size."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The leaf ranges whose hashes are the audit path of a leaf (section 2.1.1), lowest first.

    Raises:
        ValueError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError("the tree has no such leaf")
    ranges: list[tuple[int, int]] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """The leaf ranges whose hashes prove that the tree of `old` leaves is the beginning of that of `new` (2.1.2).

    Raises:
        ValueError: unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise ValueError("not an earlier size of the tree")
    if old in (0, new):
        return []
    ranges: list[tuple[int, int]] = []
    begin, end, whole = 0, new, True
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin, whole = middle, False
    if not whole:
        ranges.append((begin, end))
    return ranges[::-1]


def nodes_of(ranges: Sequence[tuple[int, int]]) -> set[Node]:
    """The stored nodes that the hashes of these ranges are folded from."""
    return {node for begin, end in ranges for node in cover(begin, end)}


def assemble(ranges: Sequence[tuple[int, int]], nodes: Mapping[Node, bytes]) -> list[bytes]:
    """The hash of each range."""
    return [fold([nodes[node] for node in cover(begin, end)]) for begin, end in ranges]


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that an audit path leads to (RFC 9162, section 2.1.3.2).

    Raises:
        ValueError: the path can't be one of that leaf in a tree of that size.
    """
    if not 0 <= index < size:
        raise ValueError("index beyond the tree")
    if len(leaf) != HASH_BYTES:
        raise ValueError("a leaf hash has 32 bytes")
    fn, sn, result = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            raise ValueError("the proof is too long")
        if fn & 1 or fn == sn:
            result = node_hash(sibling, result)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            result = node_hash(result, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise ValueError("the proof is too short")
    return result


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raises ValueError unless the proof shows the leaf at this index of the tree with this root."""
    if root_from_inclusion(index, size, leaf, proof) != root:
        raise ValueError("the proof leads to another root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises ValueError unless the proof shows the old tree to be the beginning of the new (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        raise ValueError("the sizes are out of order")
    if old == 0:
        raise ValueError("every tree begins with the empty one: there is nothing to prove")
    if old == new:
        if proof or old_root != new_root:
            raise ValueError("trees of one size must be equal, without a proof")
        return
    if not proof:
        raise ValueError("the proof is empty")
    hashes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if sn == 0:
            raise ValueError("the proof is too long")
        if fn & 1 or fn == sn:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn or first != old_root or second != new_root:
        raise ValueError("the proof does not connect the two roots")
