"""Canonical JSON against the published documents, and the quick way against rfc8785."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.canonical import LARGEST_INTEGER, LONGEST_ENTRY, NotRecordable, canonicalise, encode_entry
from tests.unit.audit.vectors import vectors

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ascii_names = st.text(st.characters(max_codepoint=127), max_size=8)
plain: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-LARGEST_INTEGER, LARGEST_INTEGER) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ascii_names, inner, max_size=4),
    max_leaves=20,
)


def test_the_published_documents_have_the_published_bytes() -> None:
    folder = vectors("jcs")
    names = sorted(path.name for path in (folder / "input").iterdir())
    assert len(names) == 6
    for name in names:
        value = json.loads((folder / "input" / name).read_text("utf-8"))
        expected = bytes.fromhex((folder / "outhex" / name.replace(".json", ".txt")).read_text())
        assert canonicalise(value) == expected


@given(st.dictionaries(ascii_names, plain, max_size=5))
def test_entries_have_the_bytes_of_rfc_8785(value: dict[str, Any]) -> None:
    assert encode_entry(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [1.5, 2**53, -(2**53), float("nan"), {"é": 1}, [{"a": 0.0}], b"bytes"])
def test_what_readers_would_read_differently_is_in_no_entry(value: Any) -> None:
    with pytest.raises(NotRecordable):
        encode_entry({"a": value})


def test_an_entry_fits_a_sixteen_bit_length() -> None:
    frame = len(encode_entry({"a": ""}))
    assert len(encode_entry({"a": "x" * (LONGEST_ENTRY - frame)})) == LONGEST_ENTRY
    with pytest.raises(NotRecordable):
        encode_entry({"a": "x" * (LONGEST_ENTRY - frame + 1)})


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        encode_entry({"a": "\ud800"})
