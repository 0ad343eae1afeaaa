"""The way of the platform's events to intake: in order, none lost, whatever intake answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from deploy.demo.identity import sender
from tests.integration.demo.stand import PLATFORM, Platform


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(sender, "_LONGEST_PAUSE", 0.05)


@contextlib.asynccontextmanager
async def _running(platform: Platform) -> AsyncIterator[None]:
    async with platform.app.router.lifespan_context(platform.app):
        yield


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_happens_is_posted_under_a_token_of_its_own(platform: Platform) -> None:
    async with _running(platform):
        await platform.sign_in("expert", "wrong-password")
        await platform.sign_in("expert")
        await _until(lambda: platform.reported() == [])
    assert [event["type"] for event in platform.readmit.events] == [
        "readmit.identity.signin-failed.v1", "readmit.identity.signin-succeeded.v1",
    ]  # fmt: skip
    keys = KeySet.import_key_set((await platform.browser.get("/.well-known/jwks.json")).json())
    claims = jwt.decode(platform.readmit.tokens[0], keys, algorithms=["ES256"]).claims
    assert (claims["iss"], claims["aud"]) == (PLATFORM, "readmit")
    assert (claims["sub"], claims["scope"]) == ("identity-platform", "readmit.events")


async def test_intake_away_slow_or_refusing_tokens_loses_nothing(platform: Platform) -> None:
    platform.readmit.intake_answers = [0, 503, 401, 500]
    async with _running(platform):
        for _ in range(3):
            await platform.sign_in("expert", "wrong-password")
        await _until(lambda: platform.reported() == [])
    assert len(platform.readmit.events) == 3
    times = [event["time"] for event in platform.readmit.events]
    assert times == sorted(times)


async def test_waiting_events_are_sent_after_a_restart(platform: Platform) -> None:
    await platform.sign_in("expert")
    assert len(platform.reported()) == 1
    async with _running(platform):
        await _until(lambda: platform.reported() == [])
    assert len(platform.readmit.events) == 1


async def test_a_refused_event_does_not_hold_up_the_others(platform: Platform) -> None:
    for _ in range(3):
        await platform.sign_in("expert", "wrong-password")
    first, *others = [event["id"] for event in platform.reported()]
    platform.readmit.intake_answers = [422]
    async with _running(platform):
        # The refused one is kept, with the reason.
        await _until(lambda: [event["id"] for event in platform.reported()] == [first])
    assert [event["id"] for event in platform.readmit.events] == others


async def test_stopping_never_hangs(platform: Platform) -> None:
    """A cancellation that came together with a time limit was swallowed once, and the process did not end."""
    for pause in range(20):
        async with asyncio.timeout(5), _running(platform):
            await asyncio.sleep(0.045 + pause / 2000)
        platform.restart()
