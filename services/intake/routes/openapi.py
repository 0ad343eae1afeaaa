"""What `/openapi.json` says of the two calls; written by hand, since bodies are read by hand (DESIGN section 4)."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from shared.schemas import identity
from shared.schemas.envelope import BATCH_CONTENT_TYPE, CONTENT_TYPE
from shared.schemas.intake import Issue

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
_CHALLENGE = {"WWW-Authenticate": {"description": "RFC 6750, section 3.", "schema": {"type": "string"}}}


def _errors_schema(name: str, kind: str) -> dict[str, Any]:
    item = {
        "type": "object",
        "required": [name, "reason"],
        "properties": {name: {"type": kind}, "reason": {"type": "string"}},
    }
    properties = {**_PROBLEM_SCHEMA["properties"], "errors": {"type": "array", "items": item}}
    return {**_PROBLEM_SCHEMA, "properties": properties}


def _problem(
    description: str,
    example: dict[str, Any],
    *,
    headers: dict[str, Any] | None = None,
    schema: dict[str, Any] | None = None,
) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": schema or _PROBLEM_SCHEMA, "example": example}}
    return {"description": description, "content": content, **({"headers": headers} if headers else {})}


def _plain(status: int, title: str, description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    return _problem(description, {"type": "about:blank", "title": title, "status": status}, headers=headers)


_BROKEN = _plain(400, "Bad Request", "The body is not valid JSON.")
_UNAUTHORIZED = _plain(401, "Unauthorized", "No token, or one that is not valid.", _CHALLENGE)
_TOO_LARGE = _plain(413, "Content Too Large", "The body is too large.")
_WRONG_TYPE = _plain(415, "Unsupported Media Type", "The body is of another media type.")
_UNAVAILABLE = _plain(503, "Service Unavailable", "Nothing was accepted; send the same again.", _RETRY_AFTER)

_REQUEST_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["email", "issue"],
    "additionalProperties": False,
    "properties": {
        "email": {"type": "string", "format": "email", "maxLength": 254},
        "issue": {"type": "string", "enum": [issue.value for issue in Issue]},
        "client": {
            "type": "object",
            "description": "Where the user really is; only with a token of the scope readmit.requests.",
            "required": ["ip"],
            "additionalProperties": False,
            "properties": {"ip": {"type": "string", "maxLength": 45}, "user_agent": {"type": "string"}},
        },
    },
}

SUBMIT_REQUEST: dict[str, Any] = {
    "status_code": 202,
    "summary": "Ask for assistance",
    "description": "The answer is the same whether or not an account has the address.",
    "operation_id": "submitAssistanceRequest",
    "responses": {
        202: {
            "description": "The request is kept, and its reference.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["reference_id", "message"],
                        "properties": {
                            "reference_id": {
                                "type": "string",
                                "pattern": "^RA(-[0-9A-HJKMNP-TV-Z]{4}){2}-[0-9A-HJKMNP-TV-Z]$",
                            },
                            "message": {"type": "string"},
                        },
                    },
                    "example": {
                        "reference_id": "RA-7K2M-9QXT-5",
                        "message": "We have received your request. Keep the reference ID: you will be asked for it.",
                    },
                }
            },
        },
        400: _BROKEN,
        401: _plain(401, "Unauthorized", "A token was sent and is not valid.", _CHALLENGE),
        403: _plain(403, "Forbidden", "`client` without a token of the scope readmit.requests.", _CHALLENGE),
        413: _TOO_LARGE,
        415: _WRONG_TYPE,
        422: _problem(
            "The body or the Idempotency-Key is not as expected.",
            {
                "type": "about:blank",
                "title": "Unprocessable Content",
                "status": 422,
                "detail": "The body is not as expected.",
                "errors": [{"member": "email", "reason": "not an email address"}],
            },
            schema=_errors_schema("member", "string"),
        ),
        429: _plain(429, "Too Many Requests", "Too many requests from one network.", _RETRY_AFTER),
        503: _UNAVAILABLE,
    },
    "openapi_extra": {
        "security": [{}, {"bearer": []}],
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Any text of one's own, a random UUID is advised. For 24 hours the same key with "
                "the same body has the same answer, and with another body is refused.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "example": "0d3b4c5e-0f0e-4e43-9d6c-2f6c7f4bb1a7",
            },
            {
                "name": "Accept-Language",
                "in": "header",
                "description": "The language of the message: English, German or Arabic.",
                "schema": {"type": "string"},
                "example": "de",
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _REQUEST_BODY,
                    "examples": {
                        "by the person": {"value": {"email": "amelia@example.org", "issue": "lost-2fa"}},
                        "by the sign-in page": {
                            "value": {
                                "email": "amelia@example.org",
                                "issue": "locked-out",
                                "client": {"ip": "203.0.113.7", "user_agent": "Mozilla/5.0"},
                            }
                        },
                    },
                }
            },
        },
    },
}

_EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "time", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 256},
        "source": {"type": "string", "format": "uri-reference", "minLength": 1, "maxLength": 256},
        "type": {"type": "string", "enum": [event.type_name() for event in identity.EVENTS]},
        "time": {"type": "string", "format": "date-time"},
        "subject": {"type": "string", "description": "The account id."},
        "data": {"type": "object"},
    },
}
_EVENT_EXAMPLE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "8d1c",
    "source": "https://id.example.org",
    "type": "readmit.identity.signin-failed.v1",
    "time": "2026-11-24T01:43:05Z",
    "subject": "u-1001",
    "data": {"account_id": "u-1001", "ip": "203.0.113.7", "failure": "bad-password"},
}

POST_EVENTS: dict[str, Any] = {
    "status_code": 202,
    "summary": "Report what happened on the identity platform",
    "description": "All events are accepted or none. The same source and id again has no effect.",
    "operation_id": "postEvents",
    "responses": {
        202: {
            "description": "Durable.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["accepted"],
                        "properties": {"accepted": {"type": "integer", "minimum": 0, "maximum": 1000}},
                    },
                    "example": {"accepted": 2},
                }
            },
        },
        400: _BROKEN,
        401: _UNAUTHORIZED,
        403: _plain(403, "Forbidden", "The token lacks the scope readmit.events.", _CHALLENGE),
        413: _plain(413, "Content Too Large", "More than 1000 events, 32 KiB an event, or 4 MiB together."),
        415: _WRONG_TYPE,
        422: _problem(
            "None of the events was accepted; every bad one is named.",
            {
                "type": "https://readmit.dev/problems/bad-events",
                "title": "Unprocessable Content",
                "status": 422,
                "errors": [{"index": 1, "reason": "time: more than 5 minutes ahead"}],
            },
            schema=_errors_schema("index", "integer"),
        ),
        503: _UNAVAILABLE,
    },
    "openapi_extra": {
        "security": [{"bearer": []}],
        "requestBody": {
            "required": True,
            "content": {
                CONTENT_TYPE: {"schema": _EVENT_SCHEMA, "example": _EVENT_EXAMPLE},
                BATCH_CONTENT_TYPE: {
                    "schema": {"type": "array", "maxItems": 1000, "items": _EVENT_SCHEMA},
                    "example": [_EVENT_EXAMPLE],
                },
            },
        },
    },
}


def describe_security(app: FastAPI) -> None:
    """Adds the scheme that the calls name; FastAPI would derive it from dependencies that we don't use."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        schema = generate()
        scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        schema.setdefault("components", {})["securitySchemes"] = {"bearer": scheme}
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
