"""The CloudEvents envelope: what it takes and how it is written."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from shared.schemas.identity import PasswordChanged, PasswordChangedData

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def an_envelope(**changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "https://id.example.org/events",
        "type": "readmit.identity.password-changed.v1",
        "time": "2026-11-24T01:43:05Z",
        "data": {"account_id": "acct-1"},
        **changes,
    }


def read(**changes: Any) -> PasswordChanged:
    return PasswordChanged.model_validate(an_envelope(**changes))


def test_bytes_are_compact_utf8_with_times_in_utc_and_nothing_that_is_none() -> None:
    event = PasswordChanged(
        id="é-1",
        source="/idp",
        time=datetime(2026, 11, 24, 2, 43, 5, tzinfo=timezone(timedelta(hours=1))),
        data=PasswordChangedData(account_id="acct-1"),
    )
    assert event.to_bytes().decode() == (
        '{"specversion":"1.0","id":"é-1","source":"/idp","type":"readmit.identity.password-changed.v1",'
        '"time":"2026-11-24T01:43:05Z","datacontenttype":"application/json","data":{"account_id":"acct-1"}}'
    )


def test_equal_source_and_id_are_the_same_event() -> None:
    assert read().dedupe_key == ("https://id.example.org/events", "e-1")
    assert read(time="2026-11-25T00:00:00Z").dedupe_key == read().dedupe_key
    assert read(source="/other").dedupe_key != read().dedupe_key


def test_an_event_does_not_change() -> None:
    event = read()
    with pytest.raises(ValidationError):
        event.id = "e-2"
    with pytest.raises(ValidationError):
        event.data.account_id = "acct-2"


def test_attributes_and_members_that_nobody_knows_are_ignored() -> None:
    event = read(dataschema="https://id.example.org/s", extension={"deep": [1]}, data={"account_id": "a", "new": 1})
    assert set(json.loads(event.to_bytes())) == {
        "specversion", "id", "source", "type", "time", "datacontenttype", "data",
    }  # fmt: skip
    assert json.loads(event.to_bytes())["data"] == {"account_id": "a"}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T01:43:05Z", datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)),
        ("2026-11-24t01:43:05z", datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)),
        ("2026-11-24T03:13:05.5+01:30", datetime(2026, 11, 24, 1, 43, 5, 500_000, tzinfo=UTC)),
        ("2026-11-24T01:43:05.123456789Z", datetime(2026, 11, 24, 1, 43, 5, 123_456, tzinfo=UTC)),
        ("2026-11-24T01:43:05-00:00", datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_rfc_3339_and_held_in_utc(text: str, moment: datetime) -> None:
    event = read(time=text)
    assert event.time == moment
    assert event.time.tzinfo is UTC


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-24T01:43:05",
        "2026-11-24 01:43:05Z",
        "2026-11-24",
        "2026-W48-2T01:43:05Z",
        "2026-11-24T01:43Z",
        "2026-11-24T25:43:05Z",
        "2026-02-30T01:43:05Z",
        "2026-11-24T01:43:05+25:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2026-11-24T01:43:05Z\n",
        "٢٠٢٦-11-24T01:43:05Z",
        "1764000000",
        1764000000,
        1764000000.5,
        True,
        None,
        "",
        [],
    ],
)
def test_anything_else_is_no_time(time: object) -> None:
    with pytest.raises(ValidationError):
        read(time=time)


@pytest.mark.parametrize(
    "changes",
    [
        {"specversion": "0.3"},
        {"specversion": 1.0},
        {"id": ""},
        {"id": 7},
        {"id": "e\n1"},
        {"id": "e" * 257},
        {"id": "\ud800"},
        {"source": ""},
        {"source": "a b"},
        {"source": "/x\x00"},
        {"source": "s" * 257},
        {"source": None},
        {"type": "readmit.identity.locked.v1"},
        {"subject": ""},
        {"subject": 5},
        {"subject": "acct-2"},
        {"datacontenttype": "text/xml"},
        {"datacontenttype": 5},
        {"data": None},
        {"data": []},
        {"data": "{}"},
    ],
)
def test_wrong_attributes_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(**changes)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", None])
def test_json_is_the_content_type(content_type: str | None) -> None:
    assert read(datacontenttype=content_type).datacontenttype == "application/json"


@pytest.mark.parametrize(
    "traceparent",
    ["", "x", 5, None, TRACEPARENT.upper(), f"00-{'0' * 32}-00f067aa0ba902b7-01", f"ff{TRACEPARENT[2:]}"],
)
def test_a_trace_that_is_none_is_forgotten(traceparent: object) -> None:
    assert read(traceparent=traceparent).traceparent is None


def test_a_trace_is_kept() -> None:
    assert read(traceparent=TRACEPARENT).traceparent == TRACEPARENT
