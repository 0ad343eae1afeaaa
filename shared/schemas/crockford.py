"""Crockford base32: an alphabet that survives being read out and typed in (https://www.crockford.com/base32.html)."""

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_VALUES = {character: value for value, character in enumerate(ALPHABET)}
# What mail programs and word processors make of a hyphen or a space, beside the two themselves.
_IGNORED = str.maketrans("", "", "- \t\u00a0\u2010\u2011\u2012\u2013\u2014")
_READ_AS = str.maketrans("OIL", "011")


def encode(number: int, length: int) -> str:
    """Write a number as exactly `length` characters, the highest first.

    Raises ValueError for a number that is negative or needs more characters.
    """
    if number < 0 or number >> (5 * length):
        raise ValueError(f"does not fit in {length} characters")
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(5 * (length - 1), -1, -5))


def normalise(text: str) -> str:
    """Give the canonical characters of what a person typed: any case, O, I and L as 0, 1 and 1, no hyphens or spaces.

    Raises ValueError for any other character. Only ASCII is folded: `ı` and `ſ` upper-case to letters of the alphabet.
    """
    stripped = text.translate(_IGNORED)
    canonical = stripped.upper().translate(_READ_AS) if stripped.isascii() else ""
    if not canonical or not all(character in _VALUES for character in canonical):
        raise ValueError("not Crockford base32")
    return canonical


def values(canonical: str) -> list[int]:
    """Give the number, 0 to 31, that each canonical character stands for."""
    return [_VALUES[character] for character in canonical]
