"""Dead letters: what a consumer group could not process, kept byte for byte.

The truth is the database of the service that parked it: a ledger row with the record's bytes, and a row of
`dead_letters` that says where it came from, why, and what became of it. The topic `<topic>.<group>.dlt` gets a copy
through the outbox, like everything else that is published, so parking is durable before the offset moves on.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from shared.kit.clock import utc_now
from shared.kit.db.unit import Publication, UnitOfWork, append_ledger
from shared.kit.messaging.consumer import Record
from shared.kit.messaging.errors import Kind
from shared.schemas.topics import dead_letter_topic

SOURCE = "/readmit/dead-letters"
TYPE = "readmit.dead-letter.v1"
MAX_REASON = 500  # characters
_HEADER = "readmit-dead-letter-"

_INSERT = text("""
    INSERT INTO dead_letters (ledger_id, consumer_group, topic, partition, "offset", size, kind, reason)
    SELECT ledger.id, CAST(:group AS text), letter.topic, letter.partition, letter.place, letter.size, letter.kind,
           letter.reason
    FROM unnest(CAST(:event_ids AS text[]), CAST(:topics AS text[]), CAST(:partitions AS int[]),
                CAST(:offsets AS bigint[]), CAST(:sizes AS int[]), CAST(:kinds AS text[]), CAST(:reasons AS text[]))
         WITH ORDINALITY AS letter (event_id, topic, partition, place, size, kind, reason, number)
    JOIN ledger ON ledger.source = :source AND ledger.event_id = letter.event_id
    ORDER BY letter.number
    ON CONFLICT (ledger_id) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that is to be parked, and why."""

    record: Record
    kind: Kind
    reason: str


@dataclass(slots=True)
class Original:
    """A parked record as it was: a `Record` that can be processed again. `timestamp` in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


async def park(unit: UnitOfWork, letters: Sequence[DeadLetter], *, group: str) -> None:
    """Parks records in the unit's transaction. One that was parked before, and is delivered again, is the same."""
    publications = [publication_of(letter, group) for letter in letters]
    ids = await append_ledger(unit.connection, publications)
    if not ids:
        return
    await unit.connection.execute(
        _INSERT,
        {
            "group": group,
            "source": SOURCE,
            "event_ids": [item.event_id for item in publications],
            "topics": [letter.record.topic for letter in letters],
            "partitions": [letter.record.partition for letter in letters],
            "offsets": [letter.record.offset for letter in letters],
            "sizes": [None if letter.record.value is None else len(letter.record.value) for letter in letters],
            "kinds": [letter.kind.value for letter in letters],
            "reasons": [printable(letter.reason) for letter in letters],
        },
    )
    unit.relay(ids)


def printable(reason: str) -> str:
    """The text without what PostgreSQL or a header refuses: a reason must not be why a record can't be parked."""
    return "".join(character if character.isprintable() else "\ufffd" for character in reason)[:MAX_REASON]


def publication_of(letter: DeadLetter, group: str) -> Publication:
    """The ledger row of a letter: the record's bytes, and everything else about it in the headers."""
    record = letter.record
    timestamp = getattr(record, "timestamp", None) or 0
    # Original key and headers as base64 and JSON, since they may hold any bytes; what was null is left out or null.
    place = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(timestamp),
        "group": group,
        **({} if record.key is None else {"key": _base64(record.key)}),
        **({"value": "null"} if record.value is None else {}),
        "headers": json.dumps([[name, None if item is None else _base64(item)] for name, item in record.headers]),
    }
    digest = hashlib.sha256(record.value or b"")
    # All of the record, since another one may stand at the same offset after a broker lost its log; but not why it is
    # parked, which may be another reason when it is delivered again.
    whole = hashlib.sha256(digest.digest() + json.dumps(place, sort_keys=True).encode()).hexdigest()
    headers = {**place, "class": letter.kind.value, "reason": printable(letter.reason)}
    return Publication(
        source=SOURCE,
        event_id=f"{group}/{record.topic}/{record.partition}/{record.offset}/{whole[:32]}",
        type=TYPE,
        subject=None,
        topic=dead_letter_topic(record.topic, group),
        key=digest.hexdigest()[:32],
        value=record.value or b"",
        time=utc_now(),
        headers=json.dumps({_HEADER + name: value for name, value in headers.items()}),
    )


def original(value: bytes, headers: Mapping[str, str]) -> Original:
    """The record as it was, from the value and headers of its ledger row or its message in the dead letter topic."""
    key = headers.get(_HEADER + "key")
    pairs: list[tuple[str, str | None]] = json.loads(headers.get(_HEADER + "headers", "[]"))
    return Original(
        topic=headers[_HEADER + "topic"],
        partition=int(headers[_HEADER + "partition"]),
        offset=int(headers[_HEADER + "offset"]),
        timestamp=int(headers.get(_HEADER + "timestamp", 0)),
        key=None if key is None else base64.b64decode(key),
        value=None if headers.get(_HEADER + "value") == "null" else value,
        headers=[(name, None if item is None else base64.b64decode(item)) for name, item in pairs],
    )


def copy_within(limit: int, value: bytes, headers: Mapping[str, str]) -> tuple[bytes, dict[str, str]]:
    """The copy for the dead letter topic, of at most so many bytes: what is larger stays in the database only."""
    size = len(value) + sum(len(name) + len(item) for name, item in headers.items())
    if size <= limit:
        return value, dict(headers)
    kept = {name: item for name, item in headers.items() if name not in {_HEADER + "key", _HEADER + "headers"}}
    return b"", {**kept, _HEADER + "omitted": f"{size} bytes are in the service's database only"}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
