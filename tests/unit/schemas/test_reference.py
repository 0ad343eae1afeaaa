"""Reference IDs: what the check character catches, and how leniently they are read."""

import random
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.schemas.crockford import ALPHABET
from shared.schemas.reference import RANDOM_BITS, InvalidReference, ReferenceId, generate, parse

# The first is the one that the interface gives as its example.
EXAMPLES = ("RA-7K2M-9QXT-5", generate(lambda bits: 0), generate(lambda bits: (1 << bits) - 1))
# Where the nine characters that vary stand in the canonical form.
POSITIONS = (3, 4, 5, 6, 8, 9, 10, 11, 13)

references = st.integers(min_value=0, max_value=(1 << RANDOM_BITS) - 1).map(lambda number: generate(lambda _: number))


def with_character(reference: str, position: int, character: str) -> str:
    return reference[:position] + character + reference[position + 1 :]


def swapped(reference: str, first: int, second: int) -> str:
    return with_character(with_character(reference, first, reference[second]), second, reference[first])


def accepts(text: str) -> bool:
    try:
        parse(text)
    except InvalidReference:
        return False
    return True


@pytest.mark.parametrize("reference", EXAMPLES)
def test_every_single_wrong_character_is_caught(reference: str) -> None:
    assert parse(reference) == reference
    accepted = [
        (position, character)
        for position in POSITIONS
        for character in ALPHABET
        if character != reference[position] and accepts(with_character(reference, position, character))
    ]
    assert accepted == []


@given(references, st.sampled_from(POSITIONS), st.sampled_from(ALPHABET))
def test_a_wrong_character_is_caught_in_any_reference(reference: str, position: int, character: str) -> None:
    assert accepts(with_character(reference, position, character)) == (character == reference[position])


@given(references, st.sampled_from(range(len(POSITIONS) - 1)))
def test_a_swap_of_neighbours_is_caught_in_any_reference(reference: str, index: int) -> None:
    first, second = POSITIONS[index], POSITIONS[index + 1]
    assert accepts(swapped(reference, first, second)) == (reference[first] == reference[second])


@pytest.mark.parametrize("index", range(len(POSITIONS) - 1))
def test_every_pair_of_neighbours_is_caught_when_swapped(index: int) -> None:
    first, second = POSITIONS[index], POSITIONS[index + 1]
    fixed = random.Random(index)
    for left in ALPHABET:
        for right in ALPHABET:
            body = [fixed.choice(ALPHABET) for _ in range(8)]
            body[index] = left
            if index + 1 < len(body):
                body[index + 1] = right
            number = sum(ALPHABET.index(c) << (5 * (7 - place)) for place, c in enumerate(body))
            reference = generate(lambda _, number=number: number)  # type: ignore[misc]
            assert accepts(swapped(reference, first, second)) == (reference[first] == reference[second])


@given(references, st.data())
def test_any_case_any_spacing_and_the_look_alikes_are_read(reference: str, data: st.DataObject) -> None:
    look_alikes = {"0": "0oO", "1": "1iIlL"}
    written = "".join(
        data.draw(st.sampled_from(["-", " ", "", " - ", "\u2011"]))
        if character == "-"
        else data.draw(st.sampled_from(look_alikes.get(character, character + character.lower())))
        for character in reference
    )
    assert parse(written) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "RA-",
        "7K2M-9QXT-5",
        "RB-7K2M-9QXT-5",
        "RA-7K2M-9QXT",
        "RA-7K2M-9QXT-55",
        "RA-7K2M-9QXT-5\n",
        "RA-7K2M-9QXT-5\x00",
        "RA-7K2M-9QXU-5",
        "RA-7K2M-9QXT-*",
        "RA_7K2M_9QXT_5",
        "\uff32\uff21-7K2M-9QXT-5",
        "RA-7\u212a2M-9QXT-5",
        "RA-7K2M-9QXT-5" + " " * 100,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        parse(text)


@given(st.text())
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    accepts(text)


def test_forty_random_bits_are_taken() -> None:
    asked: list[int] = []

    def random_bits(bits: int) -> int:
        asked.append(bits)
        return secrets.randbits(bits)

    assert parse(generate(random_bits)).startswith("RA-")
    assert asked == [40]


def test_a_model_holds_the_canonical_form() -> None:
    adapter = TypeAdapter[str](ReferenceId)
    assert adapter.validate_python("ra 7k2m 9qxt 5") == "RA-7K2M-9QXT-5"
    for wrong in ("RA-7K2M-9QXT-6", 5, None, b"RA-7K2M-9QXT-5"):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
