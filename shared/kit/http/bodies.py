"""Reading request bodies by hand, where the contract fixes the order of checks (DESIGN section 4, hazard 19)."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from shared.kit.http.problems import Problem
from shared.schemas import strict_json

Body = TypeVar("Body", bound=BaseModel)


async def read_limited(request: Request, limit: int) -> bytes:
    """The body, of at most `limit` bytes.

    Raises:
        Problem: 413 when it is larger, whether or not its length was declared.
    """
    declared = request.headers.get("content-length", "")
    # Compared by length first: Python refuses to read a number of more than 4,300 digits.
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
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
    """Parses JSON (RFC 8259), refusing what it leaves open: duplicate members, NaN, lone surrogates, deep nesting.

    Raises:
        Problem: 400 for anything that is not such JSON in UTF-8.
    """
    try:
        value = strict_json.load(raw)
        strict_json.check(value)
    except strict_json.NotStrictJson as error:
        raise Problem(400, f"The body is not valid JSON in UTF-8: {error}.") from None
    return value


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
