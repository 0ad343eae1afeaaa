"""The language of `q`: `key:value` terms, all of which must hold (contract section 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from shared.schemas.action import Outcome
from shared.schemas.crockford import normalise as normalise_crockford
from shared.schemas.reference import InvalidReference
from shared.schemas.reference import parse as parse_reference
from shared.schemas.values import check_address, normalise_ip

KEYS = ("type", "ref", "actor", "subject", "outcome", "reason", "service", "ip", "email", "occurred")
PREFIX_KEYS = ("type", "ref", "service", "reason")
LONGEST_QUERY = 2000  # characters
MOST_TERMS = 50

_TERM = re.compile(r'\s*(-?)([^\s:"]*)(:?)("(?:[^"\\]|\\.)*"|[^\s"]*)(?=\s|$)')


class InvalidQuery(ValueError):
    """The query can't be read; the text says where and what would be right, and is safe to show."""

    def __init__(self, reason: str, *, unknown_key: bool = False) -> None:
        super().__init__(reason)
        self.unknown_key = unknown_key


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `prefix`: the value is how it begins. `since` and `until` are for `occurred`; until is outside."""

    key: str
    value: str
    negated: bool = False
    prefix: bool = False
    since: datetime | None = None
    until: datetime | None = None


def parse_query(text: str) -> tuple[Term, ...]:
    """The terms of a query; none for an empty one.

    Raises:
        InvalidQuery: anything about it is wrong.
    """
    if len(text) > LONGEST_QUERY:
        raise InvalidQuery(f"The query is longer than {LONGEST_QUERY} characters.")
    if any(ord(character) < 32 and character not in "\t\n\r" for character in text):
        raise InvalidQuery("The query holds control characters.")
    terms, position = [], 0
    while text[position:].strip():
        match = _TERM.match(text, position)
        if match is None:
            raise InvalidQuery('A quotation mark is out of place: quote a whole value, as in reason:"lost device".')
        position = match.end()
        terms.append(_term(*match.groups()))
        if len(terms) > MOST_TERMS:
            raise InvalidQuery(f"A query may have at most {MOST_TERMS} terms.")
    return tuple(terms)


def _term(minus: str, key: str, colon: str, raw: str) -> Term:
    if not colon:
        raise InvalidQuery("Every term is key:value, as in type:readmit.recovery.* or ref:RA-7K2M-9QXT-5.")
    if key not in KEYS:
        raise InvalidQuery(f"Unknown key. The keys are: {', '.join(KEYS)}.", unknown_key=True)
    quoted = raw.startswith('"')
    value = re.sub(r"\\(.)", r"\1", raw[1:-1]) if quoted else raw
    if not value:
        raise InvalidQuery(f"{key}: has no value.")
    prefix = not quoted and value.endswith("*")
    if prefix:
        if key not in PREFIX_KEYS:
            raise InvalidQuery(f"{key}: takes no *; these do: {', '.join(PREFIX_KEYS)}.")
        value = value[:-1]
    if not quoted and "*" in value:
        raise InvalidQuery(f"{key}: takes * at the end only; quote a value that contains one.")
    negated = minus == "-"
    if key == "occurred":
        since, until = _period(value)
        return Term(key, value, negated, since=since, until=until)
    return Term(key, _value(key, value, prefix=prefix), negated, prefix)


def _value(key: str, value: str, *, prefix: bool) -> str:
    try:
        if key == "ref":
            return _reference_beginning(value) if prefix else parse_reference(value)
        if key == "ip":
            return normalise_ip(value)
        if key == "email":
            return check_address(value)
    except InvalidReference:
        raise InvalidQuery("ref: is no reference ID (RA-XXXX-XXXX-X); a beginning of one ends in *.") from None
    except ValueError:
        raise InvalidQuery(f"{key}: takes one whole {'IP' if key == 'ip' else 'email'} address.") from None
    if key == "outcome" and value not in {item.value for item in Outcome}:
        raise InvalidQuery(f"outcome: is one of {', '.join(item.value for item in Outcome)}.")
    return value


def _reference_beginning(value: str) -> str:
    """The canonical form of how a reference ID begins."""
    if not value.strip("- "):
        return ""
    characters = normalise_crockford(value)
    body = characters.removeprefix("RA")
    if "R".startswith(characters):
        return characters
    if len(body) > 9:
        raise InvalidReference
    return "RA-" + "-".join(part for part in (body[:4], body[4:8], body[8:]) if part)


def _period(value: str) -> tuple[datetime | None, datetime | None]:
    """From when until before when: days are whole days in UTC, the last one included; either end may be left out."""
    first, dots, last = value.partition("..")
    if not dots:
        last = first
    if not first and not last:
        raise InvalidQuery("occurred: takes a day, or a period as in 2026-11-01..2026-11-30.")
    since, until = (_moment(first, end=False) if first else None), (_moment(last, end=True) if last else None)
    if since is not None and until is not None and since >= until:
        raise InvalidQuery("occurred: the period ends before it begins.")
    return since, until


def _moment(text: str, *, end: bool) -> datetime:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            day = datetime.combine(date.fromisoformat(text), time(), UTC)
            return day + timedelta(days=1) if end else day
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None or "T" not in text.upper():
            raise ValueError
        return moment.astimezone(UTC) + timedelta(microseconds=1 if end else 0)
    except (ValueError, OverflowError):
        raise InvalidQuery(
            "occurred: takes days (2026-11-30) or times with an offset (2026-11-30T08:00:00Z)."
        ) from None
