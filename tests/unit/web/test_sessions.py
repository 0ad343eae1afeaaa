"""Session cookies: forged, changed, old, another service's, another key's."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from shared.web.sessions import Session, Sessions, is_loopback
from shared.web.signing import Signer, decode, encode
from tests.unit.web.conftest import Clock

_OLD, _NEW = b"o" * 32, b"n" * 32
_COOKIE = "readmit_recovery_session"


def sessions(clock: Clock, *keys: bytes, service: str = "recovery", url: str = "https://r.example") -> Sessions:
    return Sessions(service=service, keys=keys or (_NEW,), public_url=url, clock=clock)


def started(store: Sessions, name: str | None = "Bruno") -> tuple[Session, str]:
    response = Response()
    session = store.start(
        response, subject="s-1", account="acc-1", scopes=frozenset({"readmit.recover", "readmit.audit"}), name=name
    )
    return session, response.headers["set-cookie"].split(";")[0].split("=", 1)[1]


def request_with(value: str, name: str = _COOKIE) -> Request:
    headers = [(b"cookie", f"{name}={value}".encode())]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers})


def test_what_was_started_is_loaded(clock: Clock) -> None:
    session, cookie = started(sessions(clock))
    assert sessions(clock).load(request_with(cookie)) == session
    assert session.expires_at - session.issued_at == timedelta(hours=8)


def test_ids_differ_and_forms_of_one_session_are_no_good_in_another(clock: Clock) -> None:
    store = sessions(clock)
    (one, _), (other, _) = started(store), started(store)
    assert one.id != other.id
    assert store.csrf_matches(one, store.csrf_token(one))
    assert not store.csrf_matches(other, store.csrf_token(one))
    assert not store.csrf_matches(one, "not base64 é")


def test_any_changed_character_is_refused(clock: Clock) -> None:
    store = sessions(clock)
    _, cookie = started(store)
    for position, character in enumerate(cookie):
        for other in {"A", "B", "-", "."} - {character}:
            changed = cookie[:position] + other + cookie[position + 1 :]
            assert store.load(request_with(changed)) is None, changed


@pytest.mark.parametrize("value", ["", ".", "a", "a.b", "..", "é", "a" * 5000])
def test_what_we_never_signed_is_refused(clock: Clock, value: str) -> None:
    assert sessions(clock).load(request_with(value)) is None


def test_a_payload_with_more_scopes_under_an_old_signature_is_refused(clock: Clock) -> None:
    store = sessions(clock)
    _, cookie = started(store)
    payload, signature = cookie.split(".")
    claims = json.loads(decode(payload)) | {"scopes": ["readmit.audit.erase"]}
    assert store.load(request_with(f"{encode(json.dumps(claims).encode())}.{signature}")) is None


def test_it_ends_after_eight_hours_to_the_second(clock: Clock) -> None:
    store = sessions(clock)
    _, cookie = started(store)
    clock.forward(timedelta(hours=8, seconds=-1))
    assert store.load(request_with(cookie)) is not None
    clock.forward(timedelta(seconds=1))
    assert store.load(request_with(cookie)) is None


def test_a_shorter_lifetime_holds_for_sessions_already_out(clock: Clock) -> None:
    _, cookie = started(sessions(clock))
    clock.forward(timedelta(hours=2))
    shorter = Sessions(
        service="recovery", keys=[_NEW], public_url="https://r.example", lifetime=timedelta(hours=1), clock=clock
    )
    assert shorter.load(request_with(cookie)) is None


def test_keys_rotate_without_signing_anybody_out(clock: Clock) -> None:
    session, cookie = started(sessions(clock, _OLD))
    both = sessions(clock, _NEW, _OLD)
    assert both.load(request_with(cookie)) == session
    assert both.csrf_matches(session, sessions(clock, _OLD).csrf_token(session))
    _, newer = started(both)
    assert sessions(clock, _NEW).load(request_with(newer)) is not None
    assert sessions(clock, _NEW).load(request_with(cookie)) is None


def test_another_services_session_is_none_of_ours_though_the_key_is(clock: Clock) -> None:
    _, cookie = started(sessions(clock, service="audit"))
    assert sessions(clock).load(request_with(cookie)) is None


def test_a_form_token_is_no_session_and_the_reverse(clock: Clock) -> None:
    store = sessions(clock)
    session, cookie = started(store)
    assert not store.csrf_matches(session, cookie)
    assert store.load(request_with(f"{encode(session.id.encode())}.{store.csrf_token(session)}")) is None


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("https://recovery.example.org", True),
        ("http://recovery.example.org", True),
        ("https://127.0.0.1:8104", True),
        ("http://127.0.0.1:8104", False),
        ("http://127.9.9.9", False),
        ("http://[::1]:8104", False),
        ("http://localhost:8104", False),
        ("http://localhost.evil.example", True),
        ("http://127.0.0.1.evil.example", True),
    ],
)
def test_secure_unless_http_on_this_machine(clock: Clock, url: str, secure: bool) -> None:
    response = Response()
    sessions(clock, url=url).start(response, subject="s", account=None, scopes=frozenset())
    assert ("Secure" in response.headers["set-cookie"]) is secure
    assert is_loopback(url) is not secure


def test_ending_deletes_the_cookie_under_the_same_attributes(clock: Clock) -> None:
    response = Response()
    sessions(clock).end(response)
    cookie = response.headers["set-cookie"]
    assert "Max-Age=0" in cookie
    assert "Path=/" in cookie
    assert "Secure" in cookie


def test_short_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Signer([b"short"], "x")
    with pytest.raises(ValueError, match="32 bytes"):
        Signer([], "x")


@given(st.binary(max_size=200))
def test_sealing_and_opening_is_the_identity(payload: bytes) -> None:
    signer = Signer([_NEW, _OLD], "x")
    assert signer.open(signer.seal(payload)) == payload
    assert Signer([_NEW], "y").open(signer.seal(payload)) is None


@given(st.text(max_size=40))
def test_one_value_has_one_spelling(text: str) -> None:
    try:
        data = decode(text)
    except ValueError:
        return
    assert encode(data) == text
