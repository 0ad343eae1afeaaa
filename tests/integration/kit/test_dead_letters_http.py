"""A service's dead letters over HTTP: the same as the command, behind a scope."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from shared.kit.db.unit import UnitOfWork
from shared.kit.http.app import create_app
from shared.kit.http.auth import BearerAuth, SigningKeys, TokenVerifier
from shared.kit.http.dead_letters import DeadLetterRoutes
from shared.kit.messaging.dead_letter_store import Selection, State
from shared.kit.messaging.errors import PoisonMessage
from shared.schemas.identity import PasswordChanged
from tests.integration.kit.conftest import Toy
from tests.integration.kit.test_dead_letters import BAD, letters, wait_for_letters
from tests.integration.kit.test_messaging import committed, send
from tests.stack import ISSUER, Issuer

Call = Callable[..., Any]


@asynccontextmanager
async def nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest_asyncio.fixture
async def call(toy: Toy, tmp_path: Path) -> AsyncIterator[Call]:
    issuer = Issuer(tmp_path)
    auth = BearerAuth(TokenVerifier(SigningKeys(str(issuer.jwks)), issuer=ISSUER))
    router = DeadLetterRoutes(auth, toy.plumbing.database, "toy").router()
    app = create_app(title="t", description="t", version="1", routers=[router], lifespan=nothing, openapi=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://toy") as client:

        async def request(method: str, path: str, scope: str | None = "readmit.ops", **options: Any) -> httpx.Response:
            headers = {"Authorization": f"Bearer {issuer.token('kim', scope)}"} if scope else {}
            return await client.request(method, f"/v1/dead-letters{path}", headers=headers, **options)

        yield request


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "?limit=x"),
        ("GET", "/toy-1"),
        ("GET", "/nothing"),
        ("POST", "/toy-1/replay"),
        ("POST", "/toy-1/drop"),
    ],
)
async def test_every_call_needs_the_scope_before_anything_is_looked_at(call: Call, method: str, path: str) -> None:
    assert (await call(method, path, None)).status_code == 401
    assert (await call(method, path, "readmit.audit readmit.recover")).status_code == 403


async def test_letters_are_listed_in_pages_and_shown_with_their_bytes(toy: Toy, call: Call) -> None:
    await send(toy, *[b"%d" % number for number in range(4)], BAD, headers=[("weird", b"\xff")])
    expected = [f"toy-{letter.id}" for letter in await wait_for_letters(toy, 5)]
    first = (await call("GET", "?limit=3")).json()
    rest = (await call("GET", f"?limit=3&after={first['next']}")).json()
    assert [item["id"] for item in first["dead_letters"] + rest["dead_letters"]] == expected
    assert rest["next"] is None
    shown = [(await call("GET", f"/{item}")).json() for item in expected]
    (bad,) = [item for item in shown if base64.b64decode(item["value_base64"]) == BAD]
    assert base64.b64decode(bad["headers"][0]["value_base64"]) == b"\xff"
    assert (bad["topic"], bad["kind"], bad["actions"]) == (toy.topic, "malformed", [])
    assert (await call("GET", f"/{expected[0]}")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?state=parked&reason=malformed", 1),
        ("?state=dropped&state=replayed", 0),
        ("?topic=nowhere", 0),
        ("?since=2026-01-01T00:00:00Z", 1),
        ("?since=2999-01-01T00:00:00Z", 0),
    ],
)
async def test_filters(toy: Toy, call: Call, query: str, count: int) -> None:
    await send(toy, BAD)
    await wait_for_letters(toy, 1)
    assert len((await call("GET", query)).json()["dead_letters"]) == count


@pytest.mark.parametrize("query", ["?limit=0", "?limit=501", "?state=lost", "?since=yesterday", "?topic=%00"])
async def test_a_bad_filter_is_422(call: Call, query: str) -> None:
    assert (await call("GET", query)).status_code == 422


async def test_a_replay_and_a_drop_name_who_asked(toy: Toy, call: Call) -> None:
    async def refuse(_: PasswordChanged, __: UnitOfWork) -> None:
        raise PoisonMessage("no")

    toy.on_event = refuse
    event = toy.event()
    await send(toy, event.to_bytes())
    (letter,) = await wait_for_letters(toy, 1)
    path = f"/toy-{letter.id}"
    assert (await call("POST", f"{path}/drop", json={"because": " "})).status_code == 422
    assert (await call("POST", f"{path}/drop", json={"because": "x", "more": 1})).status_code == 422
    dropped = await call("POST", f"{path}/drop", json={"because": "known"})
    assert (dropped.status_code, dropped.json()["state"]) == (200, "dropped")
    again = await call("POST", f"{path}/drop", json={"because": "known"})
    assert (again.status_code, again.json()["type"].rpartition("/")[2]) == (409, "not-parked")
    toy.on_event = None
    asked = await call("POST", f"{path}/replay")
    assert (asked.status_code, asked.json()) == (202, {"id": f"toy-{letter.id}", "state": "replaying"})
    await wait_for_letters(toy, 1, Selection(states=[State.REPLAYED]))
    assert await committed(toy) == [event.id]
    actions = (await call("GET", path)).json()["actions"]
    assert [(item["action"], item["by"], item["because"], item["outcome"]) for item in actions] == [
        ("drop", "kim", "known", "dropped"),
        ("replay", "kim", None, "replayed"),
    ]
    assert (await call("POST", f"{path}/replay")).status_code == 409
    assert datetime.fromisoformat(actions[1]["finished_at"]) <= datetime.now(UTC)


@pytest.mark.parametrize("name", ["toy-1", "notifier-1", "toy-0", "toy-99999999999999999999", "x"])
async def test_what_is_not_there_is_404(toy: Toy, call: Call, name: str) -> None:
    assert await letters(toy) == []
    assert (await call("GET", f"/{name}")).status_code == 404
    assert (await call("POST", f"/{name}/replay")).status_code == 404
    assert (await call("POST", f"/{name}/drop", json={"because": "x"})).status_code == 404
