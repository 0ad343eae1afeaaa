"""The committed AsyncAPI document is current, whole, and says what the services do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.audit import bootstrap as audit
from services.enrichment import bootstrap as enrichment
from services.enrichment import handlers as enrichment_handlers
from services.notifier import bootstrap as notifier
from services.notifier import handlers as notifier_handlers
from services.recovery import handlers as recovery_handlers
from shared.kit.messaging.events import Handlers
from shared.schemas.asyncapi import FILE, KEYS, RECEIVED, SENT, document, to_text
from shared.schemas.registry import EVENTS
from shared.schemas.topics import Topic, topic_of

TOPICS_FILE = Path(__file__).parents[3] / "deploy" / "kafka" / "topics.yaml"


def committed() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "$ref":
                yield item
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def resolved(value: Any, reference: str, folder: Path) -> Any:
    """What a reference leads to. Raises LookupError and OSError."""
    path, _, pointer = reference.partition("#")
    if path:
        value = json.loads((folder / path).read_text(encoding="utf-8"))
    for part in pointer.split("/")[1:]:
        value = value[part.replace("~1", "/").replace("~0", "~")]
    return value


def unresolved(value: Any, folder: Path) -> list[str]:
    broken = []
    for reference in references(value):
        try:
            resolved(value, reference, folder)
        except (LookupError, OSError):
            broken.append(reference)
    return broken


def test_the_committed_document_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == to_text(document()), "run `python -m shared.schemas.asyncapi`"


def test_every_reference_resolves_in_the_document_and_in_the_schemas_it_leads_to() -> None:
    assert unresolved(committed(), FILE.parent) == []
    for reference in set(references(committed())):
        if not reference.startswith("#"):
            path = FILE.parent / reference
            assert unresolved(json.loads(path.read_text(encoding="utf-8")), path.parent) == []


def test_a_reference_that_leads_nowhere_is_found() -> None:
    broken = {"a": [{"$ref": "#/channels/none"}, {"$ref": "../shared/schemas/json/none.json"}]}
    assert len(unresolved(broken, FILE.parent)) == 2


def test_messages_are_those_of_their_channel_and_lead_to_their_own_schema() -> None:
    loaded = committed()
    assert loaded["channels"].keys() == set(Topic)
    assert {name for channel in loaded["channels"].values() for name in channel["messages"]} == EVENTS.keys()
    for name, message in loaded["components"]["messages"].items():
        schema = resolved(loaded, message["payload"]["schema"]["$ref"], FILE.parent)
        assert schema["properties"]["type"]["const"] == name
    for operation in loaded["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(item["$ref"].startswith(f"{channel}/messages/") for item in operation["messages"])


def test_every_event_is_sent_by_one_service() -> None:
    sent = sorted(model.type_name() for models in SENT.values() for model in models)
    assert sent == sorted(EVENTS)


def test_keys_are_those_of_the_topics_file() -> None:
    declared = yaml.safe_load(TOPICS_FILE.read_text(encoding="utf-8"))["topics"]
    assert {topic["name"]: topic["key"] for topic in declared} == dict(KEYS)


def the_handled(service: str) -> Handlers:
    handlers = Handlers()
    nothing: Any = None
    match service:
        case "enrichment":
            enrichment_handlers.register(handlers, project=nothing, enrich=nothing, facts_of=nothing, wake=nothing)
        case "notifier":
            notifier_handlers.register(handlers, nothing)
        case "recovery":
            recovery_handlers.register(handlers, nothing, nothing)
    return handlers


SUBSCRIBED: dict[str, tuple[str, set[str]]] = {
    "enrichment": (enrichment.GROUP, {topic.value for topic in enrichment.TOPICS}),
    "notifier": (notifier_handlers.GROUP, {*notifier.IDENTITY_TOPICS, *notifier.REQUEST_TOPICS}),
    "recovery": (recovery_handlers.GROUP, {topic.value for topic in recovery_handlers.TOPICS}),
    "audit": (audit.GROUP, {topic.value for topic in Topic}),
}


@pytest.mark.parametrize("service", ["enrichment", "notifier", "recovery"])
def test_a_service_receives_what_it_handles(service: str) -> None:
    _, topics = SUBSCRIBED[service]
    handlers = the_handled(service)
    handled = {name for name in EVENTS if name in handlers and topic_of(name) in topics}
    assert {model.type_name() for model in RECEIVED[service]} == handled


@pytest.mark.parametrize("service", SUBSCRIBED)
def test_a_service_subscribes_to_what_it_receives(service: str) -> None:
    group, topics = SUBSCRIBED[service]
    operations = [item for name, item in committed()["operations"].items() if name.startswith(f"{service}.receive.")]
    assert {item["channel"]["$ref"].removeprefix("#/channels/") for item in operations} == topics
    assert {item["bindings"]["kafka"]["groupId"]["const"] for item in operations} == {group}
