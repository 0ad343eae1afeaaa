"""The envelope of every event: CloudEvents 1.0, JSON, structured mode.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

import re
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Strict, StringConstraints
from pydantic_core import PydanticCustomError

from shared.schemas.values import OpaqueId, Timestamp

CONTENT_TYPE = "application/cloudevents+json"
"""The media type of one event, and the Kafka header `content-type`."""

BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"

# hide_input_in_errors: a validation error that reaches a log must not carry the address it complains about.
MODEL_CONFIG = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, allow_inf_nan=False, defer_build=True)

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NOT_IN_URI = re.compile(r'[\x00-\x20\x7f-\x9f<>"{}|\\^`]')


class Data(BaseModel):
    """What the `data` of every event is built from."""

    model_config = MODEL_CONFIG


def _uri_reference(text: str) -> str:
    if _NOT_IN_URI.search(text):
        raise PydanticCustomError("uri_reference", "not a URI reference")
    return text


def _traceparent_or_none(value: object) -> object:
    """Forget a trace that isn't one: W3C Trace Context says to start a new one, and no event is worth less for it."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def _json_content_type(value: object) -> object:
    if isinstance(value, str) and value.partition(";")[0].strip().lower() == "application/json":
        return "application/json"
    return "application/json" if value is None else value


def _require_specversion_and_type(schema: dict[str, Any]) -> None:
    # They have defaults for whoever builds an event here; on the wire both have to be there.
    schema["required"] = ["specversion", "type", *schema.get("required", [])]


class Envelope(BaseModel):
    """The context attributes that this project reads; other attributes and extensions are ignored."""

    model_config = ConfigDict(**MODEL_CONFIG, json_schema_extra=_require_specversion_and_type)

    specversion: Literal["1.0"] = "1.0"
    id: OpaqueId
    source: Annotated[str, Strict(), StringConstraints(min_length=1, max_length=256), AfterValidator(_uri_reference)]
    type: Annotated[str, Strict(), StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,255}$")]
    time: Timestamp
    subject: OpaqueId | None = None
    datacontenttype: Annotated[Literal["application/json"], BeforeValidator(_json_content_type)] = "application/json"
    traceparent: Annotated[str | None, BeforeValidator(_traceparent_or_none)] = None

    @property
    def dedupe_key(self) -> tuple[str, str]:
        """Give what tells two events apart: the same source and id is the same event, however often it arrives."""
        return (self.source, self.id)

    def to_bytes(self) -> bytes:
        """Write the event as compact UTF-8 JSON: times in UTC with `Z`, members that are None left out."""
        return self.model_dump_json(exclude_none=True).encode()


D = TypeVar("D", bound=Data, covariant=True)


class Event(Envelope, Generic[D]):
    """An event whose type is known. Each subclass fixes `type` to its one value."""

    data: D

    @classmethod
    def type_name(cls) -> str:
        """Give the CloudEvents type of this class of events, such as `readmit.assistance.requested.v1`."""
        return str(cls.model_fields["type"].default)


class UnknownEvent(Envelope):
    """A well-formed event of a type that this version doesn't know: recorded by audit, ignored by everybody else."""

    data: Any = None
