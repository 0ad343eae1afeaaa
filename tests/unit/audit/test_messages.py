"""What a message says, and what of it may stand in the clear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.messages import UNPARSED, Facts, Message, read, service_of

GOLDEN = Path(__file__).parents[2] / "contract" / "schemas" / "golden"
EVENTS = {path.stem: path.read_bytes() for path in sorted(GOLDEN.glob("*.json"))}
# What in the golden files is somebody's: none of it may stand in the clear part of an entry.
PERSONAL = (
    "customer.example.org",
    "203.0.113",
    "198.51.100",
    "2001:db8",
    "Mozilla",
    "kh1:",
    "Robin",
    "stolen",
    "Lisbon",
    "Madrid",
)


def message(value: bytes, topic: str = "readmit.recovery.actions.v1") -> Message:
    return Message(topic, 0, 7, 1_700_000_000_000, value)


def facts_of(event_type: str, **data: Any) -> Facts:
    document = json.loads(EVENTS[event_type])
    document["data"] |= data
    return read(message(json.dumps(document).encode()))


@pytest.mark.parametrize("event_type", sorted(EVENTS))
def test_nothing_personal_is_in_the_clear(event_type: str) -> None:
    facts = read(message(EVENTS[event_type]))
    clear = json.dumps(facts.clear)
    assert not [email for email in facts.emails if email in clear]
    assert facts.type == event_type
    assert not [word for word in PERSONAL if word in clear]


@pytest.mark.parametrize("event_type", sorted(EVENTS))
def test_every_event_is_sealed_for_somebody_if_it_names_somebody(event_type: str) -> None:
    facts = read(message(EVENTS[event_type]))
    if "@" in EVENTS[event_type].decode() or facts.subject:
        assert facts.accounts or facts.addresses or facts.address_hashes


def test_what_stays_in_the_clear_tells_what_happened() -> None:
    facts = read(message(EVENTS["readmit.recovery.code-requested.v1"]))
    assert (facts.actor, facts.subject, facts.reason, facts.outcome) == (
        "acct-0007",
        "acct-1042",
        "lost-device",
        "success",
    )
    assert facts.reference_id == "RA-7K2M-9QXT-5"
    assert facts.clear == {
        "action_id": "act-01938f2b-0002",
        "kind": "recovery-code",
        "verification": {"method": "video-call"},
    }
    assert facts.accounts == ("acct-1042",)
    assert facts.ips == {"203.0.113.9"}


def test_sign_ins_have_an_outcome_of_their_own() -> None:
    failed = read(message(EVENTS["readmit.identity.signin-failed.v1"]))
    assert (failed.outcome, failed.reason) == ("failure", "unknown-account")
    assert read(message(EVENTS["readmit.identity.signin-succeeded.v1"])).outcome == "success"


def test_a_query_belongs_to_those_whom_it_names() -> None:
    asked = "readmit.audit.queried.v1"
    facts = facts_of(asked, query="subject:acct-9 email:a@example.org actor:acct-2 actor:anonymous ip:203.0.113.7")
    assert facts.accounts == ("acct-2", "acct-9")
    assert facts.addresses == ("a@example.org",)
    assert facts_of(asked, query="type:readmit.*").accounts == ("auditor-3",)


def test_an_unknown_type_is_recorded_with_what_every_event_has() -> None:
    document = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/readmit/future",
        "type": "readmit.future.thing-happened.v7",
        "time": "2026-11-24T01:43:05Z",
        "data": {
            "actor": "acct-1",
            "subject": "acct-2",
            "reference_id": "ra 7k2m 9qxt 5",
            "outcome": "splendid",
            "who": {"mail": "a@example.org", "ip": "203.0.113.7"},
        },
    }
    facts = read(message(json.dumps(document).encode(), "readmit.future.things.v1"))
    assert facts.type == "readmit.future.thing-happened.v7"
    assert (facts.service, facts.actor, facts.subject, facts.outcome) == ("future", "acct-1", "acct-2", None)
    assert facts.reference_id == "RA-7K2M-9QXT-5"
    assert facts.clear == {}
    assert facts.emails == {"a@example.org"}
    assert facts.ips == {"203.0.113.7"}


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"\x00" * 100,
        b"[" * 100_000,
        b'{"specversion":"1.0"}',
        b'{"a":1,"a":2}',
        b'"\\ud800"',
        EVENTS["readmit.recovery.code-sent.v1"].replace(b'"recovery-code"', b"7"),
        EVENTS["readmit.recovery.code-sent.v1"].replace(b"1.0", b"0.3", 1),
    ],
)
def test_what_can_not_be_read_is_a_fact_too(value: bytes) -> None:
    facts = read(message(value))
    assert facts.type == UNPARSED
    assert facts.clear["size"] == len(value)
    assert facts.clear["error"]
    assert facts.service == "recovery"


def test_an_unreadable_message_keeps_its_id_so_that_it_is_recorded_once() -> None:
    broken = EVENTS["readmit.recovery.code-sent.v1"].replace(b'"recovery-code"', b"7")
    facts = read(message(broken))
    assert facts.event_id == json.loads(broken)["id"]
    assert facts.clear["event_type"] == "readmit.recovery.code-sent.v1"
    assert read(message(b"{")).event_id == "unparsed/readmit.recovery.actions.v1/0/7/1700000000000"


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(max_size=10), st.lists).map(
    lambda value: json.dumps(value).encode()
))  # fmt: skip
def test_reading_never_fails(value: bytes) -> None:
    assert read(message(value)).type == UNPARSED


@pytest.mark.parametrize(
    ("topic", "source", "service"),
    [
        ("readmit.identity.activity.v1", "https://id.example.org", "identity"),
        ("readmit.assistance.requests.v1", None, "intake"),
        ("readmit.assistance.enriched.v1", "urn:x", "enrichment"),
        ("readmit.assistance.notifications.v1", None, "notifier"),
        ("readmit.audit.access.v1", None, "audit"),
        ("readmit.new.v1", "/readmit/new", "new"),
        ("readmit.new.v1", None, None),
    ],
)
def test_the_topic_says_which_service_wrote(topic: str, source: str | None, service: str | None) -> None:
    assert service_of(topic, source) == service
