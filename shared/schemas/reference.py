"""Reference IDs: `RA-XXXX-XXXX-C`, the name of one assistance request on the phone, in mail and in every record.

The check character catches every single wrong character and every swap of neighbours: over GF(32) the characters have
the weights α⁸ … α⁰, all of them different and none of them zero.
"""

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from shared.schemas import crockford

PREFIX = "RA"
RANDOM_BITS = 40
_DIGITS = RANDOM_BITS // 5
# A longest form that someone may type: every character apart, and some room at both ends.
_LONGEST = 64


class InvalidReference(ValueError):
    """The text is no reference ID: wrong characters, a wrong length or a wrong check character."""

    def __init__(self) -> None:
        super().__init__("not a reference ID")


def generate(random_bits: Callable[[int], int]) -> str:
    """Make a new reference ID; `random_bits(k)` gives k random bits, as `secrets.randbits` does."""
    digits = crockford.encode(random_bits(RANDOM_BITS), _DIGITS)
    return _format(digits + _check_character(digits))


def parse(text: str) -> str:
    """Give the canonical form: any case is read, O, I and L as 0, 1 and 1, hyphens and spaces are optional.

    Raises InvalidReference.
    """
    try:
        characters = crockford.normalise(text) if len(text) <= _LONGEST else ""
    except ValueError:
        raise InvalidReference from None
    body = characters.removeprefix(PREFIX)
    if len(characters) != len(PREFIX) + _DIGITS + 1 or len(body) != _DIGITS + 1:
        raise InvalidReference
    if _check_character(body[:-1]) != body[-1]:
        raise InvalidReference
    return _format(body)


def _format(body: str) -> str:
    return f"{PREFIX}-{body[:4]}-{body[4:8]}-{body[8]}"


def _check_character(digits: str) -> str:
    check = 0
    for value in crockford.values(digits):
        check = _times_alpha(check) ^ value
    return crockford.ALPHABET[_times_alpha(check)]


def _times_alpha(element: int) -> int:
    """Multiply by α = x modulo x⁵ + x² + 1."""
    doubled = element << 1
    return doubled ^ 0b100101 if doubled & 0b100000 else doubled


def _validated(text: str) -> str:
    try:
        return parse(text)
    except InvalidReference:
        raise PydanticCustomError("reference_id", "not a reference ID") from None


ReferenceId = Annotated[
    str,
    Strict(),
    AfterValidator(_validated),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{PREFIX}(-[{crockford.ALPHABET}]{{4}}){{2}}-[{crockford.ALPHABET}]$"}
    ),
]
"""A reference ID as a member of a model: read leniently, held in the canonical form."""
