"""What is kept of a record that can't be processed, and that it comes back as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from shared.kit.db.unit import Publication
from shared.kit.messaging import header_names
from shared.kit.messaging.dead_letters import DeadLetter, Original, copy_within, original, publication_of
from shared.kit.messaging.errors import Kind


@dataclass
class Letter:
    value: bytes | None
    key: bytes | None = b"\xff\x00"
    headers: Sequence[tuple[str, bytes | None]] = (("a\x00", b"\xfe"), ("b", None))
    topic: str = "readmit.identity.activity.v1"
    partition: int = 2
    offset: int = 41
    timestamp: int = 1_764_000_000_000


def publication(letter: Letter, reason: str = "r", group: str = "toy.events") -> Publication:
    return publication_of(DeadLetter(letter, Kind.REFUSED, reason), group)


def test_a_dead_letter_is_the_record_byte_for_byte_with_where_it_came_from() -> None:
    letter = Letter(b"\x00\xff not json")
    staged = publication(letter, "Bad: \x00\n\ud800" + "x" * 600)
    assert staged.value == letter.value
    assert staged.topic == "readmit.identity.activity.v1.toy.events.dlt"
    assert "\x00" not in staged.headers
    assert r"\u0000" not in staged.headers.replace(r"\\u0000", ""), "JSONB refuses it"
    headers = json.loads(staged.headers)
    assert headers["readmit-dead-letter-group"] == "toy.events"
    assert headers["readmit-dead-letter-class"] == "refused"
    assert headers["readmit-dead-letter-reason"].startswith("Bad: \ufffd\ufffd\ufffdx")
    assert len(headers["readmit-dead-letter-reason"]) == 500


_bytes = st.none() | st.binary(max_size=20)
_names = st.text(st.characters(codec=None), max_size=8)  # lone surrogates too: names that were no UTF-8


@given(_bytes, _bytes, st.lists(st.tuples(_names, _bytes), max_size=4))
def test_every_record_comes_back_as_it_was(
    value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    letter = Letter(value, key, headers)
    staged = publication(letter)
    staged.headers.encode("ascii")
    back = original(staged.value, json.loads(staged.headers))
    assert back == Original(letter.topic, 2, 41, letter.timestamp, key, value, headers)


def test_letters_of_earlier_versions_are_read_too() -> None:
    said = {"topic": "t", "partition": "1", "offset": "2", "key": "aw==", "headers": '[["a", "Yg=="]]'}
    headers = {f"readmit-dead-letter-{name}": value for name, value in said.items()}
    assert original(b"v", headers) == Original("t", 1, 2, 0, b"k", b"v", [("a", b"b")])


def test_the_same_record_is_parked_once_and_another_one_again() -> None:
    first = publication(Letter(b"x")).event_id
    assert publication(Letter(b"x"), reason="another reason, when it was delivered again").event_id == first
    others = [
        publication(Letter(b"x", offset=42)),
        publication(Letter(b"x"), group="other.events"),
        # At the same offset of a broker that began anew.
        publication(Letter(b"x", timestamp=1_764_000_000_001)),
        publication(Letter(b"x", key=None)),
        publication(Letter(b"x", headers=[])),
        publication(Letter(b"")),
        publication(Letter(None)),
    ]
    assert len({first, *(item.event_id for item in others)}) == 8


def test_a_letter_that_no_broker_takes_is_announced_without_its_bytes() -> None:
    staged = publication(Letter(b"x" * 5000))
    headers = json.loads(staged.headers)
    assert copy_within(10_000, staged.value, headers) == (staged.value, headers)
    value, short = copy_within(5000, staged.value, headers)
    assert value == b""
    assert short["readmit-dead-letter-offset"] == "41"
    assert short["readmit-dead-letter-omitted"].endswith("bytes are in the service's database only")
    assert "readmit-dead-letter-key" not in short


def batch_with_a_bad_header_name() -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=100_000,
    )  # fmt: skip
    for number in range(4):
        headers = [("good", b"1"), ("BAD!", b"2")] if number == 2 else []
        builder.append(number, timestamp=1, key=None, value=b"%d" % number, headers=headers)
    return bytes(builder.build()).replace(b"BAD!", b"b\xff\xc0d")


def records_of(kind: Any, records: Any) -> Any:
    return kind(TopicPartition("t", 0), records, [], 0, None, None, False, 0)


def test_a_header_name_that_is_not_utf8_stops_nothing_and_is_kept() -> None:
    raw = batch_with_a_bad_header_name()
    found = list(records_of(header_names._TolerantPartitionRecords, header_names._KeptRecords(raw)))
    assert [(record.offset, record.value) for record in found] == [(n, b"%d" % n) for n in range(4)]
    name, value = found[2].headers[1]
    assert (name.encode("utf-8", "surrogateescape"), value) == (b"b\xff\xc0d", b"2")
    assert found[2].headers[0] == ("good", b"1")


def test_aiokafka_itself_still_stops_at_such_a_name() -> None:
    """When this fails, `header_names` may go."""
    found = records_of(header_names._PartitionRecords, MemoryRecords(batch_with_a_bad_header_name()))
    assert [next(found).offset for _ in range(2)] == [0, 1]
    try:
        next(found)
    except UnicodeDecodeError:
        return
    raise AssertionError("aiokafka reads it")
