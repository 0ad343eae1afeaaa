"""`python -m shared.schemas.asyncapi`: write the AsyncAPI 3.0 document of the event interface to `docs/asyncapi.json`.

Channels are topics, messages are event types, and their payloads are the exported schemas, by reference.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from shared.schemas import audit, enrichment, identity, intake, notifier, recovery
from shared.schemas.envelope import CONTENT_TYPE, Event
from shared.schemas.registry import EVENTS
from shared.schemas.topics import Topic, topic_of

FILE = Path(__file__).parents[2] / "docs" / "asyncapi.json"
SCHEMAS = "../shared/schemas/json"

_Types = Collection[type[Event[Any]]]

SENT: Mapping[str, _Types] = {
    "intake": (*identity.EVENTS, *intake.EVENTS),
    "enrichment": enrichment.EVENTS,
    "notifier": notifier.EVENTS,
    "recovery": recovery.EVENTS,
    "audit": audit.EVENTS,
}
"""What each service publishes; the identity platform's events pass through intake."""

RECEIVED: Mapping[str, _Types] = {
    "enrichment": (
        *identity.EVENTS,
        intake.AssistanceRequested,
        intake.AssistanceSuppressed,
        recovery.AccessEmailSent,
        recovery.CodeSent,
    ),
    "notifier": (
        identity.AccountReported,
        identity.AccountRemoved,
        identity.EmailChanged,
        identity.AccountLocked,
        identity.AccountUnlocked,
        enrichment.AssistanceEnriched,
    ),
    "recovery": (
        *identity.EVENTS,
        intake.AssistanceRequested,
        intake.AssistanceSuppressed,
        enrichment.AssistanceEnriched,
    ),
    "audit": tuple(EVENTS.values()),
}
"""What each service does something with; a test compares it with the services."""

KEYS: Mapping[Topic, str] = {
    Topic.IDENTITY_ACCOUNTS: "account id",
    Topic.IDENTITY_ACTIVITY: "account id, else keyed hash of the email address",
    Topic.ASSISTANCE_REQUESTS: "keyed hash of the email address",
    Topic.ASSISTANCE_ENRICHED: "reference id",
    Topic.ASSISTANCE_NOTIFICATIONS: "reference id",
    Topic.RECOVERY_ACTIONS: "account id, else keyed hash of the email address",
    Topic.AUDIT_ACCESS: "actor",
}

_DESCRIPTION = """Every message is a CloudEvents 1.0 JSON object in structured mode. Delivery is at least once and in no
particular order: a consumer tells events apart by (`source`, `id`) and lets the newer fact win by `time`. Unknown types
and unknown members are ignored. What a consumer group can't process goes to `<topic>.<group>.dlt`, byte for byte;
audit's has none, it records what it can't read."""


def document() -> dict[str, Any]:
    """Give the whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Readmit events",
            "version": "1.0.0",
            "description": _DESCRIPTION.replace("\n", " "),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic.value: _channel(topic) for topic in Topic},
        "operations": {
            **_operations("send", SENT),
            **_operations("receive", RECEIVED),
        },
        "components": {"messages": {name: _message(model) for name, model in EVENTS.items()}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    names = [name for name in EVENTS if topic_of(name) is topic]
    return {
        "address": topic.value,
        "description": f"Keyed by {KEYS[topic]}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }


def _message(model: type[Event[Any]]) -> dict[str, Any]:
    name = model.type_name()
    return {
        "name": name,
        "title": model.__name__,
        "summary": (model.__doc__ or "").strip(),
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "required": ["content-type"],
            "properties": {"content-type": {"type": "string", "const": CONTENT_TYPE}},
        },
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"{SCHEMAS}/{name}.json"},
        },
        "bindings": {
            "kafka": {"key": {"type": "string", "description": KEYS[topic_of(name)]}, "bindingVersion": "0.5.0"}
        },
    }


def _operations(action: str, types: Mapping[str, _Types]) -> dict[str, Any]:
    """One operation for each service and topic, such as `notifier.receive.readmit.assistance.enriched.v1`."""
    operations = {}
    for service, models in types.items():
        for topic in Topic:
            names = [model.type_name() for model in models if topic_of(model.type_name()) is topic]
            if names:
                operations[f"{service}.{action}.{topic.value}"] = _operation(action, service, topic, names)
    return operations


def _operation(action: str, service: str, topic: Topic, names: Collection[str]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.value}"},
        "messages": [{"$ref": f"#/channels/{topic.value}/messages/{name}"} for name in names],
        "tags": [{"name": service}],
    }
    if action == "receive":
        group = {"type": "string", "const": f"{service}.events"}
        operation["bindings"] = {"kafka": {"groupId": group, "bindingVersion": "0.5.0"}}
    return operation


def to_text(value: Mapping[str, Any]) -> str:
    """Write the document as it is committed."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(to_text(document()), encoding="utf-8")
