"""The tree against published vectors, a plain recursive reading of RFC 6962, and itself."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit.domain.merkle import (
    EMPTY_ROOT,
    Frontier,
    assemble,
    consistency_ranges,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from tests.unit.audit.vectors import vectors


def cases(kind: str) -> list[Any]:
    folder = vectors("merkle") / kind
    return [
        pytest.param(json.loads(path.read_text()), id=str(path.relative_to(folder)))
        for path in sorted(folder.rglob("*.json"))
    ]


def decoded(items: list[str] | None) -> list[bytes]:
    return [base64.b64decode(item) for item in items or []]


def test_inclusion_agrees_with_every_published_case() -> None:
    found = cases("inclusion")
    assert len(found) >= 98
    for case in (param.values[0] for param in found):
        arguments = (
            case["leafIdx"],
            case["treeSize"],
            base64.b64decode(case["leafHash"] or ""),
            decoded(case["proof"]),
            base64.b64decode(case["root"] or ""),
        )
        if case["wantErr"]:
            with pytest.raises(ValueError, match=r"."):
                verify_inclusion(*arguments)
        else:
            verify_inclusion(*arguments)


def test_consistency_agrees_with_every_published_case() -> None:
    found = cases("consistency")
    assert len(found) >= 98
    for case in (param.values[0] for param in found):
        arguments = (
            case["size1"],
            case["size2"],
            base64.b64decode(case["root1"] or ""),
            base64.b64decode(case["root2"] or ""),
            decoded(case["proof"]),
        )
        if case["wantErr"]:
            with pytest.raises(ValueError, match=r"."):
                verify_consistency(*arguments)
        else:
            verify_consistency(*arguments)


def test_the_published_log_has_the_roots_that_its_checkpoints_say() -> None:
    log = vectors("tlog-tiles") / "log"
    for size in range(16):
        root = base64.b64decode((log / f"checkpoint.{size}").read_text().split("\n")[2])
        frontier = Frontier()
        for entry in _published_entries(log, size):
            frontier.append(leaf_hash(entry))
        assert frontier.root == root


def _published_entries(log: Path, size: int) -> list[bytes]:
    if size == 0:
        return []
    bundle = (log / "tile" / "entries" / "000.p" / str(size)).read_bytes()
    entries = []
    while bundle:
        length = int.from_bytes(bundle[:2], "big")
        entries.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    assert len(entries) == size
    return entries


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


def grow(leaves: list[bytes]) -> tuple[Frontier, dict[tuple[int, int], bytes]]:
    frontier, nodes = Frontier(), {}
    for index, leaf in enumerate(leaves):
        nodes[0, index] = leaf
        nodes |= {(level, place): value for level, place, value in frontier.append(leaf)}
    return frontier, nodes


LEAVES = [leaf_hash(str(number).encode()) for number in range(300)]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 9, 255, 256, 257])
def test_roots_are_those_of_the_rfc(size: int) -> None:
    assert grow(LEAVES[:size])[0].root == recursive_root(LEAVES[:size])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_proof_of_ours_verifies_and_none_for_another_place(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    index = data.draw(st.integers(0, size - 1))
    frontier, nodes = grow(LEAVES[:size])
    proof = assemble(inclusion_ranges(index, size), nodes)
    verify_inclusion(index, size, LEAVES[index], proof, frontier.root)
    other = data.draw(st.integers(0, size - 1).filter(lambda place: place != index)) if size > 1 else None
    if other is not None:
        with pytest.raises(ValueError, match=r"."):
            verify_inclusion(other, size, LEAVES[index], proof, frontier.root)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_consistency_proof_of_ours_verifies(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 300))
    old = data.draw(st.integers(1, new))
    _, nodes = grow(LEAVES[:new])
    proof = assemble(consistency_ranges(old, new), nodes)
    old_root, new_root = recursive_root(LEAVES[:old]), recursive_root(LEAVES[:new])
    verify_consistency(old, new, old_root, new_root, proof)
    if 0 < old < new:
        with pytest.raises(ValueError, match=r"."):
            verify_consistency(old, new, leaf_hash(b"another"), new_root, proof)


def test_there_is_no_proof_for_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_ranges(3, 3)
    with pytest.raises(ValueError, match="not an earlier size"):
        consistency_ranges(4, 3)
