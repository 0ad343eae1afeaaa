"""Which members are personal: nothing that says who, where from or in whose words may be left out."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest

from shared.schemas.enrichment import AssistanceEnriched, Location
from shared.schemas.envelope import Data
from shared.schemas.export import schema_of
from shared.schemas.personal import ITEM, PERSONAL, models_within, personal_paths
from shared.schemas.registry import EVENTS
from shared.schemas.values import EmailAddress

# Names, addresses, IPs, user agents, locations, and free text that people (or their servers) write.
PERSONAL_NAMES = {
    "email", "email_hash", "old", "new", "notification_emails", "display_name", "ip", "user_agent", "location",
    "network", "networks", "prefix", "time_zone", "city", "latitude", "longitude", "label", "details", "note", "query",
    "server_answer", "evidence", "text",
}  # fmt: skip


def resolve(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        target = document["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def leaves(schema: dict[str, Any], document: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Give the path of every member of an exported schema that has no members of its own."""
    schema = resolve(schema, document)
    for alternative in schema.get("anyOf", []):
        yield from leaves(alternative, document, path)
    if "properties" in schema:
        for name, member in schema["properties"].items():
            yield from leaves(member, document, (*path, name))
    elif "items" in schema:
        yield from leaves(schema["items"], document, (*path, ITEM))
    elif "anyOf" not in schema and schema.get("type") != "null":
        yield path


def is_covered(path: tuple[str, ...], paths: frozenset[tuple[str, ...]]) -> bool:
    return any(path[:length] in paths for length in range(1, len(path) + 1))


@pytest.mark.parametrize("event_type", sorted(EVENTS))
def test_every_member_with_a_telling_name_is_personal(event_type: str) -> None:
    """Read from the exported schema rather than from the models, so that this and `personal_paths` can't err alike."""
    schema = schema_of(EVENTS[event_type])
    paths = personal_paths(EVENTS[event_type])
    telling = [path for path in leaves(schema, schema, ()) if PERSONAL_NAMES & set(path)]
    uncovered = [
        path
        for path in telling
        if not is_covered(path, paths)
        # A fact about a place or network: its value is personal, its state and time are not.
        and not (path[-2] in {"location", "network"} and path[-1] in {"state", "as_of", "since", "why", "source"})
    ]
    assert uncovered == []


def test_the_account_events_name_their_people() -> None:
    assert personal_paths(EVENTS["readmit.identity.account.v1"]) == {
        ("data", "email"), ("data", "display_name"), ("data", "time_zone"), ("data", "notification_emails", ITEM),
    }  # fmt: skip


def test_facts_lists_and_alternatives_are_looked_into() -> None:
    paths = personal_paths(AssistanceEnriched)
    assert {
        ("data", "request", "location", "value"),
        ("data", "context", "last_successful_signin", "value", "ip"),
        ("data", "context", "signin_locations", "value", ITEM, "label"),
        ("data", "cautions", ITEM, "text"),
    } <= paths
    assert ("data", "request", "issue") not in paths


def test_a_mark_is_found_in_each_place_that_it_can_stand() -> None:
    class Example(Data):
        plain: str
        marked: Annotated[str, PERSONAL]
        optional: Annotated[str, PERSONAL] | None
        around: Annotated[str | None, PERSONAL]
        items: tuple[EmailAddress, ...]
        listed: list[Annotated[Location, PERSONAL] | None]
        whole: Annotated[Location, PERSONAL]

    assert personal_paths(Example) == {
        ("marked",), ("optional",), ("around",), ("items", ITEM), ("listed", ITEM), ("whole",),
    }  # fmt: skip


def test_the_exported_schemas_carry_the_mark() -> None:
    schema = schema_of(EVENTS["readmit.assistance.requested.v1"])
    members = schema["$defs"]["AssistanceRequestedData"]["properties"]
    assert members["email"]["personal"] is True
    assert "personal" not in members["issue"]


def test_models_within_reach_every_part() -> None:
    assert Location in models_within(AssistanceEnriched)
