"""Bodies, problem documents, the request log and health, through an application as services build it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import StreamingResponse

from shared.kit.http import health
from shared.kit.http.app import create_app
from shared.kit.http.bodies import read_json
from shared.kit.http.health import health_router
from shared.kit.http.problems import TYPE_BASE, Problem, unavailable
from tests.unit.kit.conftest import Printed

LIMIT = 1000


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    email: str
    count: int = 0


class Row(BaseModel):
    email: int


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


def application(**checks: health.Check) -> FastAPI:
    router = APIRouter()

    @router.post("/things")
    async def things(request: Request) -> dict[str, Any]:
        return (await read_json(request, Body, limit=LIMIT)).model_dump()

    @router.get("/things/{number}")
    async def thing(number: int, limit: int = 1) -> int:
        return number + limit

    @router.get("/fails")
    async def fails(address: str) -> None:
        Row.model_validate({"email": address})  # an error whose text quotes what it was given

    @router.get("/breaks-off")
    async def breaks_off() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("person@example.org")

        return StreamingResponse(parts())

    @router.get("/refuses")
    async def refuses() -> None:
        raise Problem(409, "Not now.", slug="busy", title="Busy", headers={"X-Why": "w"}, until=5)

    @router.get("/away")
    async def away() -> None:
        raise unavailable("Come back.", retry_after=7)

    @router.get("/restarting")
    async def restarting() -> None:
        raise asyncpg.CannotConnectNowError("the database system is starting up for person@example.org")

    return create_app(
        title="t", description="d", version="1", routers=[router, health_router(ready=checks)], lifespan=lifespan,
        openapi=True,
    )  # fmt: skip


@asynccontextmanager
async def client(**checks: health.Check) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application(**checks), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as session:
        yield session


async def post(content: Any, media: str = "application/json", **headers: str) -> httpx.Response:
    async with client() as session:
        return await session.post("/things", content=content, headers={"content-type": media, **headers})


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """RFC 9457, section 3: the members have these types and the status is the answer's."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["type"] == "about:blank" or body["type"].startswith(TYPE_BASE + "/")
    return body


async def test_a_good_body_is_read() -> None:
    answer = await post(b' {"email": "\\u00e4\\ud83d\\ude00", "count": 2}\n', "Application/JSON; charset=utf-8")
    assert answer.json() == {"email": "ä😀", "count": 2}


@pytest.mark.parametrize(
    "content",
    [
        b"", b" ", b"{", b"nul", b'{"email": "a",}', b"{'email': 'a'}", b'{"email": "a"} {}', b'{"email": "a"}\x00',
        b'{"email": "a", "email": "b"}', b'{"email": "a", "x": {"y": 1, "y": 1}}',
        b'{"email": "a", "count": NaN}', b'{"email": "a", "count": Infinity}', b'{"email": "a", "count": -Infinity}',
        b'{"email": "a", "count": 1e999}', b'{"email": "\\ud800"}', b'{"\\udfff": 1}', b'{"email": "\\udc00\\ud800"}',
        b'{"email": "\xff"}', b'{"email": "\xed\xa0\x80"}', b'{"email": "a\nb"}', "{}".encode("utf-16"),
        b"\xef\xbb\xbf{}", b"[" * 999, b'{"a":' * 150, b'{"email": ' + b"[" * 40 + b"]" * 40 + b"}",
    ],
    ids=lambda content: repr(content[:24]),
)  # fmt: skip
async def test_what_is_no_json_that_everybody_reads_alike_is_400(content: bytes) -> None:
    assert_problem(await post(content), 400)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b'["' * 100_000, b"1" * 100_000])
async def test_deep_nesting_is_answered_at_once(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.LIMIT", 1_000_000)
    started = time.perf_counter()
    assert_problem(await post(content), 400)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "content",
    [b"[]", b"null", b"1", b'"a"', b"{}", b'{"email": null}', b'{"email": 1}', b'{"email": ["a", "b"]}',
     b'{"email": {"a": 1}}', b'{"email": "a", "count": "1"}', b'{"email": "a", "count": 1.0}',
     b'{"email": "a", "count": true}', b'{"email": "a", "admin": true}'],
)  # fmt: skip
async def test_another_shape_is_422_and_names_the_member_without_its_value(content: bytes) -> None:
    body = assert_problem(await post(content), 422)
    assert body["errors"]
    assert all(set(error) == {"member", "reason"} for error in body["errors"])


async def test_values_are_not_repeated() -> None:
    answer = await post(json.dumps({"email": ["person@example.org"], "x": "secret-value"}))
    assert_problem(answer, 422)
    assert "person@example.org" not in answer.text
    assert "secret-value" not in answer.text


@pytest.mark.parametrize("media", ["", "text/plain", "application/jsonx", "application/problem+json"])
async def test_another_media_type_is_415_before_anything_is_read(media: str) -> None:
    answer = await post(b"{" * 2000, media)
    assert_problem(answer, 415)
    assert answer.headers["accept-post"] == "application/json"


async def test_a_body_that_is_too_large_is_413() -> None:
    exact = b'{"email": "' + b"a" * (LIMIT - 13) + b'"}'
    assert len(exact) == LIMIT
    assert (await post(exact)).status_code == 200
    assert_problem(await post(exact + b" "), 413)


async def test_a_chunked_body_is_counted_as_it_comes() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50 * LIMIT:
            sent += 100
            yield b" " * 100

    assert_problem(await post(endless()), 413)


@pytest.mark.parametrize("declared", ["1001", "9" * 18, "9" * 30, "9" * 5000])
async def test_a_declared_length_is_enough_to_refuse(declared: str) -> None:
    assert_problem(await post(b"{}", **{"content-length": declared}), 413)


@pytest.mark.parametrize("declared", ["-1", "", "1e9", "x", "+5", "0x10"])
async def test_a_length_that_is_no_number_is_not_believed(declared: str) -> None:
    assert_problem(await post(b" " * 2000, **{"content-length": declared}), 413)


async def test_every_error_is_a_problem_document() -> None:
    async with client() as session:
        assert_problem(await session.get("/nowhere"), 404)
        assert_problem(await session.get("/things/"), 404)
        answer = await session.delete("/things")
        assert_problem(answer, 405)
        assert answer.headers["allow"] == "POST"
        body = assert_problem(await session.get("/refuses"), 409)
        assert body == {"type": f"{TYPE_BASE}/busy", "title": "Busy", "status": 409, "detail": "Not now.", "until": 5}
        away = await session.get("/away")
        assert_problem(away, 503)
        assert away.headers["retry-after"] == "7"


async def test_a_bad_path_or_query_is_a_problem_document_without_the_value() -> None:
    async with client() as session:
        for path in ("/things/person@example.org", "/things/1?limit=person@example.org"):
            answer = await session.get(path)
            body = assert_problem(answer, 422)
            assert "person@example.org" not in answer.text
            assert body["errors"][0]["member"] in {"path.number", "query.limit"}


async def test_the_interface_is_described_and_no_page_loads_scripts() -> None:
    async with client() as session:
        assert (await session.get("/openapi.json")).json()["openapi"].startswith("3.")
        assert (await session.get("/docs")).status_code == 404
        assert (await session.get("/redoc")).status_code == 404


async def test_an_unexpected_error_is_told_to_the_log_without_data_and_to_nobody_else(
    printed: Printed,
) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    async with client() as session:
        answer = await session.get(
            "/fails?address=person@example.org", headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
        )
    body = assert_problem(answer, 500)
    assert "pydantic" not in answer.text
    assert set(body) == {"type", "title", "status", "detail"}
    assert "person@example.org" not in printed.text
    events = {line["event"]: line for line in printed.lines}
    assert events["http.failed"]["exception"]["type"] == "pydantic_core._pydantic_core.ValidationError"
    assert events["http.failed"]["trace_id"] == events["http.answered"]["trace_id"] == trace_id
    assert events["http.answered"]["status"] == 500


async def test_a_database_that_restarts_is_a_503_and_no_mistake_of_ours(printed: Printed) -> None:
    """Found by the fault test: recovery answered 500 for as long as PostgreSQL took to come back."""
    async with client() as session:
        answer = await session.get("/restarting")
    assert_problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert "person@example.org" not in answer.text + printed.text
    events = {line["event"]: line for line in printed.lines}
    assert events["http.unavailable"]["level"] == "warning"
    assert events["http.answered"]["status"] == 503


async def test_an_answer_that_breaks_off_is_not_made_whole() -> None:
    transport = httpx.ASGITransport(application())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as session:
        with pytest.raises(RuntimeError):
            await session.get("/breaks-off")
        assert (await session.get("/things/1")).json() == 2


async def test_a_client_that_goes_away_is_no_error(printed: Printed) -> None:
    messages: list[Any] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    scope = {
        "type": "http", "method": "POST", "path": "/things", "query_string": b"", "root_path": "",
        "headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http",
        "server": ("test", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    sent = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await application()(scope, receive, send)
    assert sent == []
    (line,) = printed.lines
    assert (line["event"], line["level"], line["status"]) == ("http.answered", "info", 499)


async def test_the_request_log_holds_the_route_and_never_path_or_query(printed: Printed) -> None:
    async with client() as session:
        await session.get("/things/4711?limit=3&token=s3cret")
        await session.get("/nowhere/person@example.org?q=s3cret")
        await session.get("/health/live?x=s3cret")
    assert "s3cret" not in printed.text
    assert "4711" not in printed.text
    assert "person" not in printed.text
    seen = [(line["route"], line["status"], line["method"]) for line in printed.lines]
    assert seen == [("/things/{number}", 200, "GET"), ("unmatched", 404, "GET")]


async def fine() -> None:
    return None


async def test_ready_is_200_and_not_ready_names_what() -> None:
    async def broken() -> str:
        return "the database does not answer"

    async def raises() -> None:
        raise KeyError("person@example.org")

    async with client(database=fine) as session:
        assert (await session.get("/health/ready")).json() == {"status": "ready"}
        assert (await session.get("/health/live")).json() == {"status": "live"}
    async with client(database=broken, kafka=fine, geoip=raises) as session:
        answer = await session.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json() == {
            "status": "not ready",
            "problems": {"database": "the database does not answer", "geoip": "the check failed (KeyError)"},
        }
        assert (await session.get("/health/live")).status_code == 200


async def test_a_check_that_hangs_is_a_problem_and_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    async with client(one=hangs, two=hangs, three=fine) as session:
        started = time.perf_counter()
        answer = await session.get("/health/ready")
    assert time.perf_counter() - started < 2
    assert answer.status_code == 503
    assert set(answer.json()["problems"]) == {"one", "two"}


async def test_metrics_are_in_the_format_that_prometheus_reads() -> None:
    async with client() as session:
        await session.get("/things/1")
        answer = await session.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'readmit_http_request_seconds_count{method="GET",route="/things/{number}",status="200"}' in answer.text
