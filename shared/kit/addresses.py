"""Email addresses: what counts as one, when two are the same, and their keyed hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata

import email_validator
import idna

from shared.kit.settings import KeyRing
from shared.schemas.values import check_address

# `.local` and `localhost` are where some organisations' mailboxes are; whether mail gets there is not looked up.
# The library's documentation has its list changed in place.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

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
        checked = email_validator.validate_email(text, check_deliverability=False, globally_deliverable=False)
    except email_validator.EmailNotValidError:
        raise InvalidAddress("not an email address") from None
    # The validator maps look-alikes in passing: ﬁ to fi in a domain, the Kelvin sign to K. Reading an address must not
    # make it somebody else's (CVE-2019-19844).
    if normalise_address(checked.normalized) != normalise_address(text):
        raise InvalidAddress("not an email address")
    try:
        return check_address(checked.normalized)  # what is accepted here must be an address in the events, too
    except ValueError:
        raise InvalidAddress("not an email address") from None


def normalise_address(address: str) -> str:
    """The form under which two spellings of one address are equal.

    NFC and lower case, the domain as A-labels (RFC 5891). Lower case and not case folding: `casefold`, NFKC and IDNA
    2003 (Python's own codec) map different people's addresses together (ß to ss, ﬁ to fi), and that is how a
    stranger's address becomes an account's (CVE-2019-19844).
    """
    local, _, domain = address.rpartition("@")
    return f"{_fold(local)}@{wire_domain(_fold(domain))}"


def wire_address(address: str) -> str:
    """The address as mail servers take it: all ASCII where it can be, so that few mails need SMTPUTF8 (RFC 6531)."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{wire_domain(_fold(domain))}" if local.isascii() else address


def wire_domain(domain: str) -> str:
    """The domain in A-labels; as it is where it has no such form."""
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=False).decode("ascii")
    except UnicodeError:  # IDNAError is one
        return domain


# Not ASCII, but made so by NFC (Kelvin sign, Greek question mark, Greek varia): left as they are.
_BECOMES_ASCII = re.compile("([\u212a\u037e\u1fef])")


def _fold(text: str) -> str:
    return "".join(
        part if _BECOMES_ASCII.match(part) else unicodedata.normalize("NFC", part).lower()
        for part in _BECOMES_ASCII.split(text)
    )


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
