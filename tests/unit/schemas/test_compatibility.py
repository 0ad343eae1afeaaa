"""The judge of schema changes, given changes that break and changes that don't."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from shared.schemas.compatibility import breaking_changes
from shared.schemas.export import schema_of
from shared.schemas.registry import EVENTS

Schema = dict[str, Any]


def an_account_schema() -> Schema:
    return schema_of(EVENTS["readmit.identity.account.v1"])


def data_of(schema: Schema) -> Schema:
    data: Schema = schema["$defs"]["AccountData"]
    return data


def members_of(schema: Schema) -> Schema:
    members: Schema = data_of(schema)["properties"]
    return members


def new_required_member(schema: Schema) -> None:
    members_of(schema)["tenant"] = {"type": "string"}
    data_of(schema)["required"].append("tenant")


def optional_member_now_required(schema: Schema) -> None:
    data_of(schema)["required"].append("locale")


def required_member_now_optional(schema: Schema) -> None:
    data_of(schema)["required"].remove("email")


def member_removed(schema: Schema) -> None:
    del members_of(schema)["locale"]


def value_removed(schema: Schema) -> None:
    schema["$defs"]["AccountStatus"]["enum"].remove("locked")


def enumeration_where_there_was_none(schema: Schema) -> None:
    members_of(schema)["display_name"]["enum"] = ["Robin"]


def another_type(schema: Schema) -> None:
    members_of(schema)["unused_backup_codes"]["type"] = "string"


def null_no_longer_taken(schema: Schema) -> None:
    members_of(schema)["locale"] = {"type": "string"}


def shorter(schema: Schema) -> None:
    members_of(schema)["display_name"]["maxLength"] = 100


def higher_minimum(schema: Schema) -> None:
    members_of(schema)["unused_backup_codes"]["minimum"] = 1


def fewer_items(schema: Schema) -> None:
    members_of(schema)["notification_emails"]["maxItems"] = 1


def narrower_items(schema: Schema) -> None:
    members_of(schema)["notification_emails"]["items"]["maxLength"] = 100


def new_pattern(schema: Schema) -> None:
    members_of(schema)["account_id"]["pattern"] = "^acct-"


def another_event_type(schema: Schema) -> None:
    schema["properties"]["type"]["const"] = "readmit.identity.account.v2"


def no_longer_personal(schema: Schema) -> None:
    del members_of(schema)["display_name"]["personal"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (new_required_member, "data.tenant: now required"),
        (optional_member_now_required, "data.locale: now required"),
        (required_member_now_optional, "data.email: no longer required"),
        (member_removed, "data.locale: removed"),
        (value_removed, "data.status: fewer values"),
        (enumeration_where_there_was_none, "data.display_name: fewer values"),
        (another_type, "data.unused_backup_codes: another type"),
        (null_no_longer_taken, "data.locale: another type"),
        (shorter, "data.display_name: narrower maxLength"),
        (higher_minimum, "data.unused_backup_codes: narrower minimum"),
        (fewer_items, "data.notification_emails: narrower maxItems"),
        (narrower_items, "data.notification_emails[]: narrower maxLength"),
        (new_pattern, "data.account_id: another pattern"),
        (another_event_type, "type: fewer values"),
        (no_longer_personal, "data.display_name: no longer personal"),
    ],
)
def test_a_breaking_change_is_named(change: Callable[[Schema], None], expected: str) -> None:
    changed = an_account_schema()
    change(changed)
    assert breaking_changes(an_account_schema(), changed) == [expected]


def new_optional_member(schema: Schema) -> None:
    members_of(schema)["pronouns"] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}


def longer(schema: Schema) -> None:
    members_of(schema)["display_name"]["maxLength"] = 1000


def other_words(schema: Schema) -> None:
    schema["description"] = "Said otherwise."
    members_of(schema)["email"]["title"] = "Address"


def another_value(schema: Schema) -> None:
    schema["$defs"]["AccountStatus"]["enum"].append("invited")


def null_taken_too(schema: Schema) -> None:
    members_of(schema)["display_name"] = {
        "anyOf": [members_of(schema)["display_name"], {"type": "null"}],
        "personal": True,
    }


def model_renamed(schema: Schema) -> None:
    schema["$defs"]["AccountState"] = schema["$defs"].pop("AccountData")
    schema["properties"]["data"]["$ref"] = "#/$defs/AccountState"


def now_personal(schema: Schema) -> None:
    members_of(schema)["account_id"]["personal"] = True


@pytest.mark.parametrize(
    "change", [new_optional_member, longer, other_words, another_value, null_taken_too, model_renamed, now_personal]
)
def test_a_harmless_change_is_let_through(change: Callable[[Schema], None]) -> None:
    changed = an_account_schema()
    change(changed)
    assert changed != an_account_schema()
    assert breaking_changes(an_account_schema(), changed) == []


@pytest.mark.parametrize("event_type", sorted(EVENTS))
def test_nothing_breaks_itself(event_type: str) -> None:
    schema = schema_of(EVENTS[event_type])
    assert breaking_changes(schema, copy.deepcopy(schema)) == []
