"""A batch cut into events, each as it was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.routes.event_bodies import MAX_EVENT, MAX_EVENTS, split_batch
from shared.kit.http.problems import Problem

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(values, max_size=4), st.sampled_from([None, 2]), st.booleans())
def test_the_parts_are_the_whole(items: list[Any], indent: int | None, ascii_only: bool) -> None:
    text = f" \n{json.dumps(items, indent=indent, ensure_ascii=ascii_only)}\t\r\n"
    raw = text.encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return
    assert [json.loads(part) for part in split_batch(raw, is_batch=True)] == items


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"[",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[1]]",
        b"[1] x",
        b"{",
        b"\xff",
        b'["\xff"]',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_json_is_400(raw: bytes) -> None:
    with pytest.raises(Problem) as problem:
        split_batch(raw, is_batch=True)
    assert problem.value.status == 400


@pytest.mark.parametrize("raw", [b"", b"{", b"{} {}", b'{"a":1}]', b"\xc3"])
def test_a_single_event_is_one_value(raw: bytes) -> None:
    with pytest.raises(Problem) as problem:
        split_batch(raw, is_batch=False)
    assert problem.value.status == 400


@pytest.mark.parametrize("raw", [b"{}", b'"[1]"', b"1", b"null"])
def test_a_batch_that_is_no_array_is_422(raw: bytes) -> None:
    with pytest.raises(Problem) as problem:
        split_batch(raw, is_batch=True)
    assert problem.value.status == 422
    assert problem.value.members["errors"] == [{"index": 0, "reason": "not an array"}]


def test_sizes_are_those_that_were_sent() -> None:
    def event(size: int) -> bytes:
        return b'{"a":"' + b"x" * (size - 8) + b'"}'

    assert split_batch(b"[" + event(MAX_EVENT) + b"]", is_batch=True) == [event(MAX_EVENT)]
    for raw, is_batch in ((b"[1," + event(MAX_EVENT + 1) + b"]", True), (event(MAX_EVENT + 1), False)):
        with pytest.raises(Problem) as problem:
            split_batch(raw, is_batch=is_batch)
        assert problem.value.status == 413
    wide = ('["' + "é" * (MAX_EVENT // 2) + '"]').encode()  # characters are not bytes
    with pytest.raises(Problem) as problem:
        split_batch(wide, is_batch=True)
    assert problem.value.status == 413


def test_a_batch_holds_a_thousand() -> None:
    assert len(split_batch(json.dumps([1] * MAX_EVENTS).encode(), is_batch=True)) == MAX_EVENTS
    with pytest.raises(Problem) as problem:
        split_batch(json.dumps([1] * (MAX_EVENTS + 1)).encode(), is_batch=True)
    assert problem.value.status == 413
