"""Reading request bodies by hand, where the contract fixes the order of checks (DESIGN section 4, hazard 19)."""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from shared.kit.http.problems import Problem

Body = TypeVar("Body", bound=BaseModel)


async def read_limited(request: Request, limit: int) -> bytes:
    """The body, of at most `limit` bytes.

    Raises:
        Problem: 413 when it is larger, whether or not its length was declared.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise Problem(413, f"The body may hold at most {limit} bytes.")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise Problem(413, f"The body may hold at most {limit} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


def media_type(request: Request) -> str:
    """The media type of the body, lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_media_type(request: Request, *allowed: str) -> str:
    """Raises: Problem: 415 unless the body's media type is one of those allowed."""
    given = media_type(request)
    if given not in allowed:
        raise Problem(415, f"Send {' or '.join(allowed)}.", headers={"Accept-Post": ", ".join(allowed)})
    return given


def decode_json(raw: bytes) -> Any:
    """Parses JSON (RFC 8259), refusing what it leaves open: duplicate members, NaN, and lone surrogates.

    Raises:
        Problem: 400 for anything that is not such JSON in UTF-8.
    """
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate can be written as \\ud800
    except (ValueError, RecursionError):
        raise Problem(400, "The body is not valid JSON in UTF-8.") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate member")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def parse_body(model: type[Body], value: Any) -> Body:
    """Validates a decoded body.

    Raises:
        Problem: 422 with `errors: [{"member", "reason"}]`; values are not repeated.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Problem(422, "The body is not as expected.", errors=describe(error)) from None


def describe(error: ValidationError) -> list[dict[str, str]]:
    """What a validation found, a member and a reason each, without the input."""
    return [
        {
            "member": ".".join(str(part) for part in item["loc"]) or "(body)",
            "reason": item["msg"].removeprefix("Value error, "),
        }
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    ]


async def read_json(request: Request, model: type[Body], *, limit: int) -> Body:
    """A JSON body of the given shape: 415, 413, 400, 422 in that order."""
    require_media_type(request, "application/json")
    return parse_body(model, decode_json(await read_limited(request, limit)))
