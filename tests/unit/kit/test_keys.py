"""Where the issuer's keys come from, and when they are read again."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.kit.http.keys import AWAY_SECONDS, REFRESH_SECONDS, KeysUnavailable, SigningKeys
from tests.unit.kit.issuer import jwks, key


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """What answers for the issuer's URL; counts how often it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.answer: Any = jwks(key("one"))
        self.status = 200
        self.error: Exception | None = None
        original = httpx.AsyncClient

        def client(**options: Any) -> httpx.AsyncClient:
            return original(transport=httpx.MockTransport(self._respond), **options)

        monkeypatch.setattr(httpx, "AsyncClient", client)

    async def _respond(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        await asyncio.sleep(0)  # lets others queue up, as a network does
        if self.error is not None:
            raise self.error
        return httpx.Response(
            self.status, text=self.answer if isinstance(self.answer, str) else json.dumps(self.answer)
        )


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Issuer:
    return Issuer(monkeypatch)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def keys_at_url(clock: Clock) -> SigningKeys:
    return SigningKeys("https://issuer.example/jwks", clock=clock)


async def kids(keys: SigningKeys, kid: str | None) -> list[str | None]:
    return [found.kid for found in await keys.find(kid)]


async def test_known_keys_are_fetched_once(issuer: Issuer, clock: Clock) -> None:
    keys = keys_at_url(clock)
    for _ in range(5):
        assert await kids(keys, "one") == ["one"]
        clock.now += 100
    assert issuer.asked == 1


async def test_an_unknown_key_has_them_fetched_again_at_most_once_a_minute(issuer: Issuer, clock: Clock) -> None:
    keys = keys_at_url(clock)
    assert await kids(keys, "two") == []
    issuer.answer = jwks(key("one"), key("two"))
    for second in range(int(REFRESH_SECONDS)):
        clock.now = 1000 + second
        assert await kids(keys, f"made-up-{second}") == []
    assert issuer.asked == 1
    clock.now = 1000 + REFRESH_SECONDS
    assert await kids(keys, "two") == ["two"]
    assert issuer.asked == 2


async def test_a_hundred_unknown_keys_at_once_are_one_request(issuer: Issuer, clock: Clock) -> None:
    """Whoever makes up key ids must not have us flood the issuer."""
    keys = keys_at_url(clock)
    await kids(keys, "one")
    clock.now += REFRESH_SECONDS
    await asyncio.gather(*(kids(keys, f"made-up-{number}") for number in range(100)))
    assert issuer.asked == 2


async def test_the_first_requests_share_one_fetch(issuer: Issuer, clock: Clock) -> None:
    keys = keys_at_url(clock)
    assert await asyncio.gather(*(kids(keys, "one") for _ in range(50))) == [["one"]] * 50
    assert issuer.asked == 1


@pytest.mark.parametrize(
    "answer",
    ["", "[]", "null", "{}", '{"keys": null}', '{"keys": []}', '{"keys": [1, null, {}]}', "[" * 5000, "<html>",
     '{"keys": [{"kty": "EC", "crv": "P-256", "x": 1, "y": []}]}', '{"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}'],
)  # fmt: skip
async def test_what_had_been_read_stays_good_when_the_issuer_breaks(issuer: Issuer, clock: Clock, answer: str) -> None:
    keys = keys_at_url(clock)
    await kids(keys, "one")
    issuer.answer = answer
    clock.now += REFRESH_SECONDS
    assert await kids(keys, "two") == []
    assert await kids(keys, "one") == ["one"]
    fresh = keys_at_url(clock)
    with pytest.raises(KeysUnavailable):
        await fresh.find("one")


@pytest.mark.parametrize("status", [301, 302, 404, 500, 503])
async def test_an_issuer_that_is_away_is_asked_at_most_once_a_second(issuer: Issuer, clock: Clock, status: int) -> None:
    keys = keys_at_url(clock)
    issuer.status = status
    for _ in range(20):
        with pytest.raises(KeysUnavailable):
            await keys.find("one")
    assert issuer.asked == 1
    issuer.status = 200
    clock.now += AWAY_SECONDS
    assert await kids(keys, "one") == ["one"]


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), OSError(), TimeoutError()], ids=repr
)
async def test_a_network_error_is_not_a_verdict(issuer: Issuer, clock: Clock, error: Exception) -> None:
    issuer.error = error
    with pytest.raises(KeysUnavailable):
        await keys_at_url(clock).find("one")


async def test_one_key_that_we_cannot_read_does_not_take_the_others_along(issuer: Issuer, clock: Clock) -> None:
    """RFC 7517, section 5: an issuer may publish kinds of keys that we don't know."""
    strange = [
        {"kty": "AKP", "kid": "pq", "pub": "AAAA"}, {"kty": "EC", "crv": "P-999", "x": "A", "y": "A"},
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA", "kid": "off-the-curve"}, {"kid": "no type"}, None, "x",
        {"kty": ["EC"]}, {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "short"},
    ]  # fmt: skip
    issuer.answer = {"keys": [*strange, *jwks(key("one"))["keys"]]}
    assert await kids(keys_at_url(clock), "one") == ["one"]
    assert await kids(keys_at_url(clock), None) == ["one"]


def write(file: Path, document: Any) -> None:
    """Replaces the file in one step, as mounts of secrets do."""
    beside = file.with_suffix(".new")
    beside.write_text(document if isinstance(document, str) else json.dumps(document))
    beside.replace(file)


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "jwks.json"
    write(file, jwks(key("one")))
    keys = SigningKeys(str(file), clock=clock)
    assert await kids(keys, "one") == ["one"]
    write(file, jwks(key("two")))
    assert await kids(keys, "two") == ["two"]
    assert await kids(keys, "one") == [], "a key that was taken out is not believed any longer"


async def test_a_change_within_one_tick_of_the_file_systems_clock_is_seen(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "jwks.json"
    write(file, jwks(key("one")))
    os.utime(file, ns=(10**18, 10**18))
    keys = SigningKeys(str(file), clock=clock)
    await kids(keys, "one")
    write(file, jwks(key("two")))
    os.utime(file, ns=(10**18, 10**18))
    assert await kids(keys, "two") == ["two"]


async def test_a_file_that_is_broken_or_gone_for_a_while_changes_nothing(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "jwks.json"
    write(file, jwks(key("one")))
    keys = SigningKeys(str(file), clock=clock)
    await kids(keys, "one")
    write(file, '{"keys": [')
    assert await kids(keys, "one") == ["one"]
    file.unlink()
    assert await kids(keys, "one") == ["one"]
    write(file, jwks(key("one"), key("two")))
    assert await kids(keys, "two") == ["two"]


async def test_a_file_may_come_later_than_the_service(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "jwks.json"
    keys = SigningKeys(str(file), clock=clock)
    with pytest.raises(KeysUnavailable):
        await keys.find("one")
    write(file, jwks(key("one")))
    clock.now += AWAY_SECONDS
    assert await kids(keys, "one") == ["one"]


@pytest.mark.parametrize(
    "location",
    ["http://issuer.example/jwks", "HTTP://issuer.example/jwks", "http://127.0.0.1.evil.example/", "http://[::2]/jwks",
     "http://localhost.evil.example/", "http://user@evil.example/", "http://127.0.0.1@evil.example/", "ftp://127.0.0.1/",
     "file:///etc/jwks.json", "https://", "http://", "gopher://localhost/"],
)  # fmt: skip
def test_keys_are_not_fetched_where_somebody_could_change_them(location: str) -> None:
    with pytest.raises(ValueError, match="https"):
        SigningKeys(location)


@pytest.mark.parametrize(
    "location",
    ["https://issuer.example/jwks", "HTTPS://issuer.example", "http://127.0.0.1:8100/jwks", "http://localhost/jwks",
     "http://[::1]:80/jwks", "http://127.8.8.8/", "/etc/readmit/jwks.json", "jwks.json"],
)  # fmt: skip
def test_where_keys_may_be(location: str) -> None:
    SigningKeys(location)
