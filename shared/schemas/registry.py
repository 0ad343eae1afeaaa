"""Every event there is, and the one way from bytes to one of them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from shared.schemas import audit, enrichment, identity, intake, notifier, recovery, strict_json
from shared.schemas.envelope import Envelope, Event, UnknownEvent
from shared.schemas.personal import models_within

_PRODUCERS = (identity, intake, enrichment, notifier, recovery, audit)

EVENTS: Mapping[str, type[Event[Any]]] = MappingProxyType(
    {model.type_name(): model for producer in _PRODUCERS for model in producer.EVENTS}
)

_ENVELOPE_REQUIRED = ("specversion", "type")


class MalformedEvent(ValueError):
    """The bytes are no event, or an event of a known type that breaks its schema.

    `reason` is short and holds no value of the event: member paths and kinds of errors only.
    """

    def __init__(self, reason: str, event_type: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.event_type = event_type
        """The type, where it is one that we know."""


def decode(raw: bytes) -> Event[Any] | UnknownEvent:
    """Read one event in structured mode. Raises MalformedEvent."""
    return _read(_load(raw))


def decode_batch(raw: bytes) -> list[Event[Any] | UnknownEvent | MalformedEvent]:
    """Read a CloudEvents batch: each event, or what is wrong with it, in order.

    Raises MalformedEvent when the bytes are no batch at all.
    """
    document = _load(raw)
    if not isinstance(document, list):
        raise MalformedEvent("not an array")
    results: list[Event[Any] | UnknownEvent | MalformedEvent] = []
    for item in document:
        try:
            results.append(_read(item))
        except MalformedEvent as malformed:
            results.append(malformed)
    return results


def _load(raw: bytes) -> Any:
    try:
        return strict_json.load(raw)
    except strict_json.NotStrictJson as error:
        raise MalformedEvent(str(error)) from None


def _read(value: Any) -> Event[Any] | UnknownEvent:
    try:
        strict_json.check(value)
    except strict_json.NotStrictJson as error:
        raise MalformedEvent(str(error)) from None
    if not isinstance(value, dict):
        raise MalformedEvent("not an object")
    for name in _ENVELOPE_REQUIRED:
        if name not in value:
            raise MalformedEvent(f"{name}: missing")
    name = value["type"]
    model = EVENTS.get(name) if isinstance(name, str) else None
    try:
        return UnknownEvent.model_validate(value) if model is None else model.model_validate(value)
    except ValidationError as error:
        raise MalformedEvent(_reason(error), None if model is None else model.type_name()) from None


def _member_names() -> frozenset[str]:
    models: set[type[BaseModel]] = {Envelope}
    for model in EVENTS.values():
        models |= models_within(model)
    return frozenset(name for model in models for name in model.model_fields)


_MEMBER_NAMES = _member_names()
# As many as help; a batch answers with up to a thousand reasons.
_MAX_ERRORS = 5


def _reason(error: ValidationError) -> str:
    """Say where and what, without a value. A name that is none of ours may be one, so it is left out too."""
    reasons = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False)[:_MAX_ERRORS]:
        path = ".".join(str(p) for p in detail["loc"] if isinstance(p, int) or p in _MEMBER_NAMES)
        reasons.append(f"{path or 'event'}: {detail['type']}")
    return "; ".join(reasons)
