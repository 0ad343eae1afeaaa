"""What a caller is answered: 401, 403 and 503, and with which challenge (RFC 6750, section 3)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from shared.kit.http import problems
from shared.kit.http.auth import BearerAuth, InvalidToken, KeysUnavailable, Principal
from tests.unit.kit.issuer import NOW


async def verify(token: str) -> Principal:
    if token == "away":
        raise KeysUnavailable
    if token != "good":
        raise InvalidToken("no key verifies it")
    return Principal("a-1", None, frozenset({"readmit.audit"}), NOW)


def client() -> httpx.AsyncClient:
    app = FastAPI()
    problems.install(app)
    auth: Any = BearerAuth(verify)  # type: ignore[arg-type]  # a fake of the same shape

    @app.get("/needs/{scopes}")
    async def needs(scopes: str, request: Request) -> dict[str, str]:
        return {"actor": (await auth.require(request, *scopes.split("+"))).actor}

    @app.get("/optional")
    async def optional(request: Request) -> dict[str, bool]:
        return {"known": await auth.optional(request) is not None}

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def get(path: str, *authorization: str) -> httpx.Response:
    async with client() as session:
        return await session.get(path, headers=[("authorization", value) for value in authorization])


async def test_no_token_is_asked_for_one_without_an_error() -> None:
    answer = await get("/needs/readmit.audit")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="readmit"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 401
    assert answer.json()["type"].endswith("/unauthorized")


@pytest.mark.parametrize("value", ["Bearer bad", "bearer  bad", "Bearer good good", "Bearer good,good"])
async def test_a_bad_token_is_told_so(value: str) -> None:
    for path in ("/needs/readmit.audit", "/optional"):
        answer = await get(path, value)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="readmit", error="invalid_token"'
        assert "bad" not in answer.text, "a token is not repeated"


@pytest.mark.parametrize("values", [["Basic Zm9v"], ["Bearer"], ["Bearer "], [""], ["good"], ["Bearer good"] * 2])
async def test_a_malformed_header_is_401_too(values: list[str]) -> None:
    answer = await get("/needs/readmit.audit", *values)
    assert answer.status_code == 401
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]


async def test_a_missing_scope_is_403_and_names_it() -> None:
    answer = await get("/needs/readmit.audit.export+readmit.ops", "Bearer good")
    assert answer.status_code == 403
    assert answer.json()["type"].endswith("/insufficient-scope")
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="readmit", error="insufficient_scope", scope="readmit.audit.export readmit.ops"'
    )


async def test_one_of_several_scopes_is_enough() -> None:
    assert (await get("/needs/readmit.ops+readmit.audit", "BEARER good")).json() == {"actor": "a-1"}


async def test_an_issuer_that_is_away_is_not_the_callers_fault() -> None:
    answer = await get("/needs/readmit.audit", "Bearer away")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert "www-authenticate" not in answer.headers


async def test_where_a_token_is_optional_none_is_fine() -> None:
    assert (await get("/optional")).json() == {"known": False}
    assert (await get("/optional", "Bearer good")).json() == {"known": True}
