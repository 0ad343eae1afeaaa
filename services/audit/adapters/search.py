"""The terms of a query as conditions on the log's columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.audit.domain.persons import KeyedHashes
from services.audit.domain.query import Term

_COLUMNS = {
    "type": "type",
    "ref": "reference_id",
    "actor": "actor",
    "subject": "subject",
    "outcome": "outcome",
    "reason": "reason",
    "service": "service",
}


def conditions(terms: Sequence[Term], hashes: KeyedHashes) -> tuple[str, dict[str, Any]]:
    """SQL that begins with ` AND ` for each term, and its parameters."""
    clauses: list[str] = []
    parameters: dict[str, Any] = {}
    for number, term in enumerate(terms):
        clause, values = _condition(term, f"t{number}", hashes)
        parameters |= values
        # A column that is NULL doesn't have the value, so the negated term holds for it.
        clauses.append(f" AND ({clause}) IS NOT TRUE" if term.negated else f" AND {clause}")
    return "".join(clauses), parameters


def _condition(term: Term, name: str, hashes: KeyedHashes) -> tuple[str, dict[str, Any]]:
    if term.key in ("email", "ip"):
        known_as = hashes.email(term.value) if term.key == "email" else hashes.ip(term.value)
        lookup = (
            f"EXISTS (SELECT 1 FROM lookups WHERE lookups.kind = '{term.key}'"  # noqa: S608
            f" AND lookups.hash = ANY(CAST(:{name} AS text[])) AND lookups.index = entries.index)"
        )
        return lookup, {name: list(known_as)}
    if term.key == "occurred":
        return _period(term, name)
    column = _COLUMNS[term.key]
    if not term.prefix:
        return f"{column} = :{name}", {name: term.value}
    if not term.value:
        return f"{column} IS NOT NULL", {}
    # A range and not LIKE: it uses the index whatever the value, and there is nothing in it to escape.
    return f"({column} >= :{name} AND {column} < :{name}_end)", {name: term.value, f"{name}_end": _after(term.value)}


def _period(term: Term, name: str) -> tuple[str, dict[str, Any]]:
    clauses, parameters = [], {}
    if term.since is not None:
        clauses.append(f"occurred_at >= CAST(:{name} AS timestamptz)")
        parameters[name] = term.since
    if term.until is not None:
        clauses.append(f"occurred_at < CAST(:{name}_end AS timestamptz)")
        parameters[f"{name}_end"] = term.until
    return f"({' AND '.join(clauses)})", parameters


def _after(beginning: str) -> str:
    """The least text, in code point order, above all that begin so."""
    last = ord(beginning[-1]) + 1
    if last == 0xD800:  # surrogates are no text
        last = 0xE000
    return beginning[:-1] + chr(last) if last <= 0x10FFFF else beginning + chr(0x10FFFF)
