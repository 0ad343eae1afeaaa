"""The scalar types that events are made of, each strict about what it takes and bounded in length.

They hold in both of pydantic's modes, so that a document is parsed once (`strict_json`) and validated as objects.
"""

import ipaddress
import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

MAX_ADDRESS_LENGTH = 254
"""Characters of an email address (RFC 5321, section 4.5.3.1.3, less the angle brackets)."""


class Personal:
    """Marks a member as personal: audit encrypts it under the person's key, logs and spans never show it."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Write the mark into the exported schema."""
        schema = handler(core_schema)
        return {**schema, "personal": True}


PERSONAL = Personal()

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# In text of several lines, line feed and tab are the only ones that mean something.
_CONTROL_IN_PROSE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _without_control(text: str) -> str:
    if _CONTROL.search(text):
        raise PydanticCustomError("control_character", "control character")
    return text


def _prose(text: str) -> str:
    if _CONTROL_IN_PROSE.search(text):
        raise PydanticCustomError("control_character", "control character")
    return text


# RFC 3339 with an offset. Checked before `fromisoformat`, which takes weeks, missing parts and missing offsets too.
_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _read_time(value: object) -> object:
    if isinstance(value, datetime):
        return value
    match = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("rfc_3339", "not an RFC 3339 time with an offset")
    date, clock, fraction, offset = match.groups()
    microseconds = (fraction or "")[:6].ljust(6, "0")
    try:
        return datetime.fromisoformat(f"{date}T{clock}.{microseconds}{'+00:00' if offset in 'Zz' else offset}")
    except ValueError:
        raise PydanticCustomError("rfc_3339", "not an RFC 3339 time with an offset") from None


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise PydanticCustomError("time_without_offset", "a time without an offset")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("rfc_3339", "out of range") from None


Timestamp = Annotated[datetime, BeforeValidator(_read_time), AfterValidator(_in_utc)]
"""A moment, always aware and in UTC; RFC 3339 on the wire, digits past the microsecond cut."""


def check_address(text: str) -> str:
    """Return the text when it is one email address: what a single mailbox at a domain name can be called.

    Takes internationalised addresses (RFC 6531). Leaves out, on purpose, what a mail program could read as a list, a
    comment, a route or a second recipient: quoted local parts, domain literals, commas, brackets (CVE-2023-7028).
    Raises ValueError.
    """
    local, at, domain = text.rpartition("@")
    if len(text) > MAX_ADDRESS_LENGTH or not at or not 1 <= len(local) <= 64:
        raise ValueError("not an email address")
    if any(c in '@,;:<>()[]\\"' or unicodedata.category(c)[0] in "CZ" for c in local):
        raise ValueError("not an email address")
    if not all(_is_label(label) for label in domain.split(".")):
        raise ValueError("not an email address")
    return text


def _is_label(label: str) -> bool:
    """Tell whether this is a label of a host name, internationalised ones included (RFC 5890)."""
    if not 1 <= len(label) <= 63 or "-" in (label[0], label[-1]):
        return False
    return all(
        c in "-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        or (c > "\x7f" and unicodedata.category(c)[0] in "LMN")
        for c in label
    )


def _address(text: str) -> str:
    try:
        return check_address(text)
    except ValueError:
        raise PydanticCustomError("email_address", "not an email address") from None


def _address_or_empty(text: str) -> str:
    return _address(text) if text else text


# Parsing one costs a fifth of reading an event, and sign-ins come from the same few addresses.
@lru_cache(maxsize=4096)
def normalise_ip(text: str) -> str:
    """Give an IPv4 or IPv6 address in its shortest form (RFC 5952); an IPv4-mapped one as the IPv4 address.

    Raises ValueError, also for an address with a zone, which means something on one machine only.
    """
    if "%" in text or len(text) > 45:
        raise ValueError("not an IP address")
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _ip(text: str) -> str:
    try:
        return normalise_ip(text)
    except ValueError:
        raise PydanticCustomError("ip_address", "not an IP address") from None


def _ip_network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise PydanticCustomError("ip_network", "not an IP network") from None


AccountId = Annotated[str, Strict(), StringConstraints(min_length=1, max_length=128), AfterValidator(_without_control)]
"""The identity platform's name of an account: opaque, compared byte by byte."""

Actor = Annotated[str, Strict(), StringConstraints(min_length=1, max_length=160), AfterValidator(_without_control)]
"""Who did it: an account id or token subject, `anonymous`, or `service:<name>`."""

OpaqueId = Annotated[str, Strict(), StringConstraints(min_length=1, max_length=256), AfterValidator(_without_control)]

ReasonCode = Annotated[str, Strict(), StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""Why, as a code: one of the organisation's predefined reasons or one of ours."""

EmailAddress = Annotated[
    str,
    Strict(),
    StringConstraints(min_length=3, max_length=MAX_ADDRESS_LENGTH),
    AfterValidator(_address),
    PERSONAL,
]

EmailAddressOrEmpty = Annotated[
    str,
    Strict(),
    StringConstraints(max_length=MAX_ADDRESS_LENGTH),
    AfterValidator(_address_or_empty),
    BeforeValidator(lambda value: "" if value is None else value),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": MAX_ADDRESS_LENGTH}, {"type": "null"}]}),
    PERSONAL,
]
"""The address of an account that may have none: `null` and the empty text are both read as the empty text."""

KeyedHash = Annotated[str, Strict(), StringConstraints(pattern=r"^[A-Za-z0-9_=:-]{16,128}$"), PERSONAL]
"""A keyed hash of an email address. Personal: whoever holds the key can tell whose it is."""

IpAddress = Annotated[str, Strict(), StringConstraints(min_length=2, max_length=45), AfterValidator(_ip), PERSONAL]

IpNetwork = Annotated[
    str, Strict(), StringConstraints(min_length=2, max_length=49), AfterValidator(_ip_network), PERSONAL
]
"""A network in CIDR notation."""

UserAgent = Annotated[str, Strict(), StringConstraints(max_length=1024), AfterValidator(_without_control), PERSONAL]

Name = Annotated[str, Strict(), StringConstraints(max_length=256), AfterValidator(_without_control), PERSONAL]

Label = Annotated[str, Strict(), StringConstraints(max_length=256), AfterValidator(_without_control)]
"""One line of text that no person typed: the name of a method, of a source, of a format."""

Prose = Annotated[str, Strict(), StringConstraints(max_length=4000), AfterValidator(_prose), PERSONAL]
"""Free text that a person, or another's server, wrote; may have several lines."""

Locale = Annotated[str, Strict(), StringConstraints(pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,6}$")]
"""A language tag (RFC 5646), or the same with underscores."""

TimeZone = Annotated[
    str, Strict(), StringConstraints(pattern=r"^[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,3}$"), PERSONAL
]
"""A name of the IANA time zone database. Personal, being a rough location."""

Flag = Annotated[bool, Strict()]

# Wide enough for anything real, and what a PostgreSQL integer holds.
Count = Annotated[int, Strict(), Field(ge=0, le=2**31 - 1)]
