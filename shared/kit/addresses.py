"""Email addresses: what counts as one, when two are the same, and their keyed hash."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import unicodedata

from email_validator import EmailNotValidError, validate_email

from shared.kit.settings import KeyRing

MAX_LENGTH = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets (RFC 3696, erratum 1690)


class InvalidAddress(ValueError):
    """Not one plain email address; the message says why, without quoting it."""


def parse_address(text: str) -> str:
    """Returns the one email address that `text` is, in Unicode NFC, surrounding spaces cut.

    Deliverability is not looked up: what it would answer differs by address, and callers answer alike for all.

    Raises:
        InvalidAddress: for anything else than one address, control characters, or more than 254 characters.
    """
    text = text.strip(" \t")
    if len(text) > MAX_LENGTH:
        raise InvalidAddress("longer than 254 characters")
    # Before any library sees it: line breaks and NUL in an address become headers or recipients (CVE-2023-7028).
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in text):
        raise InvalidAddress("contains control characters")
    try:
        checked = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise InvalidAddress("not an email address") from None
    return checked.normalized


def normalise_address(address: str) -> str:
    """The form under which two spellings of one address are equal.

    NFC and lower case, the domain as A-labels (RFC 5891). Lower case and not case folding: `casefold` and NFKC map
    different people's addresses together (ß to ss, ﬁ to fi), and that is how a stranger's address becomes an account's
    (CVE-2019-19844).
    """
    local, _, domain = unicodedata.normalize("NFC", address).rpartition("@")
    domain = domain.lower()
    if not domain.isascii():
        with contextlib.suppress(UnicodeError):
            domain = domain.encode("idna").decode("ascii")
    return f"{local.lower()}@{domain}"


class AddressHasher:
    """HMAC-SHA-256 of normalised addresses, so that topics and tables can refer to one without holding it."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def __call__(self, address: str) -> str:
        """The hash under the newest key: 32 hexadecimal digits (128 bits)."""
        return self._digest(self._keys.newest, address)

    def all(self, address: str) -> tuple[str, ...]:
        """The hashes under every key, newest first: for looking up what an older key wrote."""
        return tuple(self._digest(key, address) for key in self._keys.keys)

    @staticmethod
    def _digest(key: bytes, address: str) -> str:
        return hmac.new(key, normalise_address(address).encode(), hashlib.sha256).hexdigest()[:32]
