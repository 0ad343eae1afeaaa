"""The HTTP interface (contract section 8)."""

from __future__ import annotations

import base64
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from services.audit.domain.cursor import InvalidCursor
from services.audit.domain.query import KEYS, InvalidQuery
from services.audit.usecases.prove_records import ProveRecords, UnknownSize
from services.audit.usecases.read_records import DEFAULT_LIMIT, LARGEST_LIMIT, Reader, ReadRecords
from shared.kit.http.auth import BearerAuth
from shared.kit.http.problems import Problem
from shared.schemas.reference import InvalidReference
from shared.schemas.reference import parse as parse_reference

SCOPE = "readmit.audit"
_NO_STORE = {"Cache-Control": "no-store"}  # answers hold personal data
_LARGEST_INDEX = 2**63 - 1  # PostgreSQL's bigint

_PROBLEM = {"content": {"application/problem+json": {"schema": {"type": "object"}}}}


def _answers(problems: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """Problem documents by status, for the OpenAPI document."""
    return {status: {"description": about, **_PROBLEM} for status, about in problems.items()}


RESPONSES = _answers({401: "No valid bearer token", 403: f"The token lacks the scope {SCOPE}"})


def _parameter(name: str, about: str, kind: str = "string", *, where: str = "query") -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "description": about,
        "required": where == "path",
        "schema": {"type": kind},
    }


_QUERY_PARAMETERS = {
    "parameters": [
        _parameter("q", f"key:value terms that must all hold; - negates, * ends a prefix. Keys: {', '.join(KEYS)}"),
        _parameter("limit", f"Records of a page, 1 to {LARGEST_LIMIT}; {DEFAULT_LIMIT} unless given", "integer"),
        _parameter("cursor", "`next` of the page before"),
    ]
}


def records_router(auth: BearerAuth, read: ReadRecords) -> APIRouter:
    """Records and stories."""
    router = APIRouter(responses=RESPONSES)
    bad = _answers({400: "Malformed query, limit or cursor"})

    async def reader(request: Request, endpoint: str) -> Reader:
        principal = await auth.require(request, SCOPE)
        return Reader(principal.actor, endpoint)

    @router.get("/v1/records", openapi_extra=_QUERY_PARAMETERS, responses=bad)
    async def search_records(request: Request) -> Response:
        """Records for which every term of `q` holds, oldest first."""
        who = await reader(request, "GET /v1/records")
        query, limit, cursor = search_parameters(request)
        try:
            page = await read.search(query, who, limit=limit, cursor=cursor)
        except (InvalidQuery, InvalidCursor) as error:
            raise bad_query(error) from None
        body = {
            "records": [record.answer() for record in page.records],
            "next": page.next,
            "tree_size": page.tree_size,
        }
        return JSONResponse(body, headers=_NO_STORE)

    @router.get(
        "/v1/references/{reference_id}",
        openapi_extra={"parameters": [_parameter("reference_id", "RA-XXXX-XXXX-X, read leniently", where="path")]},
        responses=_answers({400: "Malformed", 404: "No record has it"}),
    )
    async def read_reference(request: Request) -> Response:
        """The whole story of one request, in order."""
        who = await reader(request, "GET /v1/references/{reference_id}")
        try:
            reference = parse_reference(request.path_params["reference_id"])
        except InvalidReference:
            raise Problem(400, "This is no reference ID: RA-XXXX-XXXX-X, the last one a check character.") from None
        records = await read.story(reference, who)
        if not records:
            raise Problem(404, "No record has this reference ID.")
        body = {"reference_id": reference, "records": [record.answer() for record in records]}
        return JSONResponse(body, headers=_NO_STORE)

    index_extra = {"parameters": [_parameter("index", "Position in the log", "integer", where="path")]}
    missing = _answers({404: "No such record"})

    @router.get("/v1/records/{index}", openapi_extra=index_extra, responses=missing)
    async def read_record(request: Request) -> Response:
        """One record."""
        who = await reader(request, "GET /v1/records/{index}")
        record = await read.one(index_of(request), who)
        if record is None:
            raise _no_record()
        return JSONResponse(record.answer(), headers=_NO_STORE)

    @router.get("/v1/records/{index}/raw", openapi_extra=index_extra, responses=missing)
    async def read_raw(request: Request) -> Response:
        """The message of a record, byte for byte as it came."""
        who = await reader(request, "GET /v1/records/{index}/raw")
        record = await read.one(index_of(request), who)
        if record is None:
            raise _no_record()
        if record.message is None:
            raise Problem(410, "A person's data in this record was erased.")
        # Whatever the bytes are, no browser shall find a page in them.
        headers = {**_NO_STORE, "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
        return Response(record.message, media_type="application/octet-stream", headers=headers)

    return router


def proofs_router(auth: BearerAuth, prove: ProveRecords) -> APIRouter:
    """The current checkpoint and proofs against it; they name nobody, so asking for them is not recorded."""
    router = APIRouter(responses=RESPONSES)
    missing = _answers({404: "No such record"})

    @router.get("/checkpoint", response_class=PlainTextResponse)
    async def read_checkpoint(request: Request) -> Response:
        """The current checkpoint, a C2SP signed note."""
        await auth.require(request, SCOPE)
        return PlainTextResponse(await prove.checkpoint(), headers={"Cache-Control": "no-cache"})

    @router.get(
        "/v1/records/{index}/proof",
        openapi_extra={"parameters": [_parameter("index", "Position in the log", "integer", where="path")]},
        responses=missing,
    )
    async def prove_inclusion(request: Request) -> Response:
        """The inclusion proof of a record (RFC 6962) against the current checkpoint."""
        await auth.require(request, SCOPE)
        proof = await prove.inclusion(index_of(request))
        if proof is None:
            raise _no_record()
        body = {
            "index": proof.index,
            "tree_size": proof.tree_size,
            "leaf_hash": base64.b64encode(proof.leaf_hash).decode(),
            "proof": [base64.b64encode(item).decode() for item in proof.proof],
            "checkpoint": proof.checkpoint,
        }
        return JSONResponse(body)

    @router.get(
        "/v1/consistency",
        openapi_extra={
            "parameters": [
                _parameter("from", "The older size", "integer"),
                _parameter("to", "The newer one", "integer"),
            ]
        },
        responses=_answers({400: "Sizes out of order or beyond the log"}),
    )
    async def prove_consistency(request: Request) -> Response:
        """Shows that the log of one size is the beginning of that of another (RFC 6962)."""
        await auth.require(request, SCOPE)
        old, new = _integer(request, "from"), _integer(request, "to")
        try:
            proof = await prove.consistency(old, new)
        except UnknownSize as error:
            raise Problem(400, str(error)) from None
        return JSONResponse({"proof": [base64.b64encode(item).decode() for item in proof]})

    return router


def search_parameters(request: Request) -> tuple[str, int, str | None]:
    """Query, limit and cursor. Raises Problem."""
    given = request.query_params
    limit = _integer(request, "limit") if given.get("limit") else DEFAULT_LIMIT
    if not 1 <= limit <= LARGEST_LIMIT:
        raise Problem(400, f"limit is a number from 1 to {LARGEST_LIMIT}.")
    return given.get("q", ""), limit, given.get("cursor") or None


def bad_query(error: InvalidQuery | InvalidCursor) -> Problem:
    """400; for an unknown key it lists those there are."""
    if isinstance(error, InvalidQuery):
        if error.unknown_key:
            return Problem(400, str(error), slug="invalid-query", keys=list(KEYS))
        return Problem(400, str(error), slug="invalid-query")
    return Problem(400, str(error), slug="invalid-cursor")


def index_of(request: Request) -> int:
    """The record's index in the path. Raises Problem: 404 for what is no index."""
    text = request.path_params["index"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= _LARGEST_INDEX):
        raise _no_record()
    return int(text)


def _integer(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Problem(400, f"{name} is a whole number.")
    return int(text)


def _no_record() -> Problem:
    return Problem(404, "The log has no such record.")
