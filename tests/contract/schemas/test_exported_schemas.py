"""The committed JSON Schemas and golden files: what other programs build against."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.schemas.compatibility import breaking_changes
from shared.schemas.export import FOLDER, committed, export, schema_of, to_text
from shared.schemas.registry import EVENTS, decode

GOLDEN = Path(__file__).parent / "golden"
TYPES = sorted(EVENTS)


def golden_bytes(event_type: str) -> bytes:
    return (GOLDEN / f"{event_type}.json").read_bytes()


def the_committed(event_type: str) -> dict[str, Any]:
    schema = committed(event_type)
    assert schema is not None, "run `python -m shared.schemas.export`"
    return schema


@pytest.mark.parametrize("event_type", TYPES)
def test_the_committed_schema_is_the_model(event_type: str) -> None:
    text = (FOLDER / f"{event_type}.json").read_text(encoding="utf-8")
    assert text == to_text(schema_of(EVENTS[event_type])), "run `python -m shared.schemas.export`"


@pytest.mark.parametrize("event_type", TYPES)
def test_nothing_breaks_within_a_version(event_type: str) -> None:
    assert breaking_changes(the_committed(event_type), schema_of(EVENTS[event_type])) == []


def test_there_is_one_schema_and_one_golden_file_for_each_type() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == TYPES
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == TYPES


@pytest.mark.parametrize("event_type", TYPES)
def test_the_golden_file_is_read_and_written_alike(event_type: str) -> None:
    event = decode(golden_bytes(event_type))
    assert type(event) is EVENTS[event_type]
    assert decode(event.to_bytes()) == event
    assert json.loads(event.to_bytes()) == json.loads(golden_bytes(event_type))


@pytest.mark.parametrize("event_type", TYPES)
def test_the_golden_file_fits_the_schema_as_it_is_and_as_we_write_it(event_type: str) -> None:
    validator = jsonschema.Draft202012Validator(the_committed(event_type))
    validator.check_schema(the_committed(event_type))
    validator.validate(json.loads(golden_bytes(event_type)))
    validator.validate(json.loads(decode(golden_bytes(event_type)).to_bytes()))


@pytest.mark.parametrize("event_type", TYPES)
def test_the_schema_refuses_what_lacks_an_attribute(event_type: str) -> None:
    validator = jsonschema.Draft202012Validator(the_committed(event_type))
    for name in ("specversion", "id", "source", "type", "time", "data"):
        document = json.loads(golden_bytes(event_type))
        del document[name]
        assert not validator.is_valid(document)


def test_export_writes_new_schemas_and_refuses_to_break_old_ones(tmp_path: Path) -> None:
    event_type = "readmit.identity.locked.v1"
    assert export(tmp_path) == []
    assert sorted(path.stem for path in tmp_path.glob("*.json")) == TYPES

    # As if the committed one had a member that the model has lost since.
    path = tmp_path / f"{event_type}.json"
    old = json.loads(path.read_text(encoding="utf-8"))
    old["$defs"]["AccountLockedData"]["properties"]["until"] = {"type": "string"}
    path.write_text(json.dumps(old), encoding="utf-8")
    (tmp_path / "readmit.identity.forgotten.v1.json").write_text("{}", encoding="utf-8")

    assert export(tmp_path) == [f"{event_type}: data.until: removed", "readmit.identity.forgotten.v1: removed"]
    assert json.loads(path.read_text(encoding="utf-8")) == old
