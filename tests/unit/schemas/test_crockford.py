"""Crockford base32, as recovery codes and reference IDs use it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.schemas import crockford


@given(st.integers(min_value=0, max_value=(1 << 65) - 1))
def test_what_was_encoded_reads_back(number: int) -> None:
    text = crockford.encode(number, 13)
    assert len(text) == 13
    read = 0
    for value in crockford.values(crockford.normalise(text.lower())):
        read = read << 5 | value
    assert read == number


@pytest.mark.parametrize(("number", "length"), [(-1, 1), (32, 1), (1 << 65, 13)])
def test_what_does_not_fit_is_refused(number: int, length: int) -> None:
    with pytest.raises(ValueError, match="characters"):
        crockford.encode(number, length)


@pytest.mark.parametrize("text", ["", " - ", "U", "u", "*", "\u0131", "\u017f", "\uff10", "\n", "\x00"])
def test_characters_outside_the_alphabet_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base32"):
        crockford.normalise(text)


def test_look_alikes_are_read_as_digits() -> None:
    assert crockford.normalise("oOiI-lL 0") == "0011110"
