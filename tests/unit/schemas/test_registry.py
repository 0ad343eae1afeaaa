"""From bytes to events: what is refused, and that refusing it tells no secrets."""

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.schemas.envelope import Event, UnknownEvent
from shared.schemas.identity import SigninSucceeded
from shared.schemas.personal import models_within
from shared.schemas.registry import EVENTS, MalformedEvent, decode, decode_batch

SECRET = "robin.vega@customer.example.org"


def a_signin(**changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/idp",
        "type": "readmit.identity.signin-succeeded.v1",
        "time": "2026-11-24T01:43:05Z",
        "data": {"account_id": "acct-1", "ip": "192.0.2.1"},
        **changes,
    }


def raw(**changes: Any) -> bytes:
    return json.dumps(a_signin(**changes)).encode()


def raw_with_data(data: str) -> bytes:
    return raw(data=None).replace(b'"data": null', f'"data": {data}'.encode())


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in a_signin().items() if key != name}).encode()


def test_a_known_type_is_read_as_its_class() -> None:
    event = decode(raw())
    assert isinstance(event, SigninSucceeded)
    assert event.data.ip == "192.0.2.1"
    assert decode(event.to_bytes()) == event


@pytest.mark.parametrize("data", [None, 5, "text", [1], {"anything": {"at": "all"}}])
def test_an_unknown_type_is_an_envelope(data: object) -> None:
    event = decode(raw(type="readmit.identity.passkey-added.v1", data=data))
    assert isinstance(event, UnknownEvent)
    assert event.data == data


def test_data_may_be_absent_from_an_unknown_type() -> None:
    document = a_signin(type="org.example.other")
    del document["data"]
    assert isinstance(decode(json.dumps(document).encode()), UnknownEvent)


@pytest.mark.parametrize(
    ("malformed", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (raw().replace(b"acct", b"\xe9"), "not UTF-8"),
        (raw().replace(b"acct", b"\xed\xa0\x80"), "not UTF-8"),
        (b"\xef\xbb\xbf" + raw(), "not JSON"),
        (raw() + b"{}", "not JSON"),
        (raw()[:-1] + b",}", "not JSON"),
        (b"null", "not an object"),
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b"5", "not an object"),
        (without("specversion"), "specversion: missing"),
        (without("type"), "type: missing"),
        (without("id"), "id: missing"),
        (without("source"), "source: missing"),
        (without("time"), "time: missing"),
        (without("data"), "data: missing"),
        (raw(type=5), "type: string_type"),
        (raw(type="a b"), "type: string_pattern_mismatch"),
        (raw(type="x", id=None), "id: string_type"),
        (raw(specversion="2.0"), "specversion: literal_error"),
        (raw(time="yesterday"), "time: rfc_3339"),
        (raw(subject="acct-2"), "event: subject_mismatch"),
        (raw(data={"account_id": "acct-1"}), "data.ip: missing"),
        (raw(data={"account_id": 5, "ip": "home"}), "data.account_id: string_type; data.ip: ip_address"),
        (raw(data={"account_id": "a\x00", "ip": "192.0.2.1"}), "data.account_id: control_character"),
        (raw_with_data('{"account_id": "a", "account_id": "b", "ip": "192.0.2.1"}'), "a name occurs twice"),
        (raw_with_data('{"account_id": "a", "ip": "192.0.2.1", "x": {"y": 1, "y": 1}}'), "a name occurs twice"),
        (raw()[:-1] + b', "id": "e-2"}', "a name occurs twice"),
        (raw_with_data('{"account_id": "\\ud800", "ip": "192.0.2.1"}'), "half a surrogate pair"),
        (raw_with_data('{"account_id": "a", "ip": "192.0.2.1", "x": ["\\uDfff"]}'), "half a surrogate pair"),
        (raw_with_data('{"account_id": "a", "ip": "192.0.2.1", "\\ud83d": 1}'), "half a surrogate pair"),
        (raw_with_data('{"account_id": "a", "ip": "192.0.2.1", "x": NaN}'), "not a finite number"),
        (raw_with_data('{"account_id": "a", "ip": "192.0.2.1", "x": -Infinity}'), "not a finite number"),
        (
            raw_with_data('{"account_id": "a", "ip": "192.0.2.1", "x": ' + "[" * 40 + "]" * 40 + "}"),
            "nested too deeply",
        ),
        (raw_with_data('{"x":' * 40 + "1" + "}" * 40), "nested too deeply"),
        (raw_with_data("9" * 5000), "not JSON"),
        (raw_with_data('{"account_id": "a", "ip": "192.0.2.1", "x": 1e999}'), "not a finite number"),
    ],
)
def test_what_is_no_event_is_refused_with_a_reason(malformed: bytes, reason: str) -> None:
    with pytest.raises(MalformedEvent) as caught:
        decode(malformed)
    assert caught.value.reason == reason


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":['])
def test_megabytes_of_nesting_are_refused_and_harmless(opening: bytes) -> None:
    with pytest.raises(MalformedEvent):
        decode(opening * (5_000_000 // len(opening)))


def test_whole_surrogate_pairs_and_many_flat_braces_are_fine() -> None:
    many = json.dumps([{"n": n} for n in range(200)])
    event = decode(raw_with_data('{"account_id": "\\ud83d\\ude80", "ip": "192.0.2.1", "x": ' + many + "}"))
    assert isinstance(event, SigninSucceeded)
    assert event.data.account_id == "\U0001f680"


@pytest.mark.parametrize(
    "malformed",
    [
        raw(id=[SECRET]),
        raw(time=SECRET),
        raw(data={"account_id": SECRET * 10, "ip": SECRET}),
        raw(data={SECRET: SECRET}),
        raw(data={"account_id": "a", "ip": {SECRET: 1}}),
        raw_with_data(f'{{"{SECRET}": 1, "{SECRET}": 2}}'),
        raw(
            type="readmit.identity.signin-failed.v1",
            data={"email": f"{SECRET},{SECRET}", "ip": "::1", "failure": SECRET},
        ),
        SECRET.encode(),
    ],
)
def test_the_reason_quotes_nothing(malformed: bytes) -> None:
    with pytest.raises(MalformedEvent) as caught:
        decode(malformed)
    assert "robin" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_names_inside_personal_members_are_not_quoted(golden: dict[str, Any]) -> None:
    enriched = golden["readmit.assistance.enriched.v1"]
    enriched["data"]["cautions"] = [{"code": "new-network", "text": "New network", "evidence": {SECRET: [1], "x\n": 1}}]
    with pytest.raises(MalformedEvent) as caught:
        decode(json.dumps(enriched).encode())
    assert "robin" not in caught.value.reason
    assert caught.value.reason.startswith("data.cautions.0.evidence: ")


def test_the_type_is_told_where_it_is_one_of_ours() -> None:
    for document, event_type in ((raw(data={}), "readmit.identity.signin-succeeded.v1"), (raw(type="x", id=1), None)):
        with pytest.raises(MalformedEvent) as caught:
            decode(document)
        assert caught.value.event_type == event_type


@given(st.binary())
def test_no_bytes_make_it_fail_otherwise(data: bytes) -> None:
    with contextlib.suppress(MalformedEvent):
        decode(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(sorted(EVENTS)),
    st.dictionaries(st.sampled_from(["id", "time", "subject", "source", "traceparent", "data"]), json_values),
    st.dictionaries(
        st.sampled_from(sorted({n for m in EVENTS.values() for d in models_within(m) for n in d.model_fields})),
        json_values,
        max_size=8,
    ),
)
def test_whatever_is_taken_can_be_written_and_read_again(
    event_type: str, attributes: dict[str, Any], data: dict[str, Any]
) -> None:
    document = {**a_signin(type=event_type, data=data), **attributes}
    try:
        event = decode(json.dumps(document).encode())
    except MalformedEvent:
        return
    assert decode(event.to_bytes()) == event


def test_a_batch_tells_for_each_event_what_is_wrong_with_it() -> None:
    parts = [
        raw(),
        raw_with_data('{"account_id": "\\ud800", "ip": "192.0.2.1"}'),
        raw(id="e-2"),
        raw_with_data('{"account_id": "a", "account_id": "a", "ip": "192.0.2.1"}'),
        b"5",
        raw(type="org.example.other"),
        raw(data={}),
    ]
    results = decode_batch(b"[" + b",".join(parts) + b"]")
    assert [result.reason if isinstance(result, MalformedEvent) else type(result) for result in results] == [
        SigninSucceeded,
        "half a surrogate pair",
        SigninSucceeded,
        "a name occurs twice",
        "not an object",
        UnknownEvent,
        "data.account_id: missing; data.ip: missing",
    ]


@pytest.mark.parametrize(
    ("document", "reason"), [(b"{}", "not an array"), (b"[", "not JSON"), (b"[\xff]", "not UTF-8")]
)
def test_what_is_no_batch_is_refused_as_a_whole(document: bytes, reason: str) -> None:
    with pytest.raises(MalformedEvent) as caught:
        decode_batch(document)
    assert caught.value.reason == reason


def test_an_empty_batch_is_one() -> None:
    assert decode_batch(b"[]") == []


def test_every_type_is_named_once_and_versioned() -> None:
    assert len(EVENTS) == 33
    for event_type, model in EVENTS.items():
        assert issubclass(model, Event)
        assert re.fullmatch(r"readmit\.(identity|assistance|recovery|audit)\.[a-z0-9-]+\.v1", event_type)


def test_no_member_could_hold_a_secret() -> None:
    """A code, a token, a grant or a password in an event would be in every topic, ledger and log."""
    secret = re.compile(r"(^|_)(code|codes|token|grant|link|url|secret|password|credential)s?($|_)")
    allowed = {
        ("Caution", "code"),  # which caution it is
        ("AccountData", "unused_backup_codes"),  # a number
        ("AccountContext", "unused_backup_codes"),
        ("AccountContext", "recovery_code_last_sent"),  # times
        ("AccountContext", "backup_codes_last_changed"),
        ("AccountContext", "password_last_changed"),
        ("Location", "country_code"),
    }
    found = {
        (part.__name__, name)
        for model in EVENTS.values()
        for part in models_within(model)
        for name in part.model_fields
        if secret.search(name)
    }
    assert found == allowed
