"""What the interface's description says beside the routes' own words."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

_PROBLEM = {"application/problem+json": {"schema": {"type": "object"}}}


def _answer(description: str) -> dict[str, Any]:
    return {"description": description, "content": _PROBLEM}


ADMIN_ANSWERS: dict[int | str, dict[str, Any]] = {
    400: _answer("A cursor that is none"),
    401: _answer("No token, or a bad one"),
    403: _answer("The scope or the permission is missing"),
    404: _answer("No such account, request or action"),
    422: _answer("Not as expected"),
}
ACTION_ANSWERS: dict[int | str, dict[str, Any]] = {
    403: _answer("The scope or the permission is missing; or one's own account, or one with more access"),
    409: _answer("Not in the state for it"),
    413: _answer("Too large"),
    415: _answer("Not JSON"),
}
REDEEM_ANSWERS: dict[int | str, dict[str, Any]] = {
    400: _answer("Invalid or expired; also for bodies that are not JSON"),
    413: _answer("Too large"),
    415: _answer("Not JSON"),
    422: _answer("Not as expected"),
    429: _answer("Too many attempts from one network"),
}

_QUERIES: dict[str, dict[str, Any]] = {
    "query": {"schema": {"type": "string"}, "description": "An account id, or part of an address or name."},
    "limit": {"schema": {"type": "integer", "minimum": 1, "maximum": 200}, "description": "How many to a page."},
    "cursor": {"schema": {"type": "string"}, "description": "`next` of the page before."},
    "state": {"schema": {"enum": ["open", "closed", "all"]}, "description": "Which requests."},
}


def queries(*names: str) -> dict[str, Any]:
    return {"parameters": [{"name": name, "in": "query", "required": False, **_QUERIES[name]} for name in names]}


def body_of(model: type[BaseModel], *, idempotent: bool = False) -> dict[str, Any]:
    """A JSON body: the routes read it themselves, in the order that the contract fixes."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    extra: dict[str, Any] = {
        "requestBody": {"required": True, "content": {"application/json": {"schema": _inlined(schema, definitions)}}}
    }
    if idempotent:
        key = {"type": "string", "minLength": 1, "maxLength": 255}
        extra["parameters"] = [{"name": "Idempotency-Key", "in": "header", "required": False, "schema": key}]
    return extra


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """References point into the document, where these definitions are not."""
    if isinstance(node, dict):
        if "$ref" in node:
            return _inlined(definitions[node["$ref"].rpartition("/")[2]], definitions)
        return {key: _inlined(value, definitions) for key, value in node.items()}
    return [_inlined(item, definitions) for item in node] if isinstance(node, list) else node
