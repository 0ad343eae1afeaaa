"""`python -m shared.schemas.export`: write the JSON Schema of every event to `json/<type>.json`.

Refuses to replace a schema by one that breaks it; such a change needs a new version of the type.
"""

import ast
import inspect
import json
import sys
import textwrap
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shared.schemas.compatibility import breaking_changes
from shared.schemas.envelope import Event
from shared.schemas.personal import models_within
from shared.schemas.registry import EVENTS

FOLDER = Path(__file__).parent / "json"


@cache
def _describe(model: type[BaseModel]) -> None:
    """Give members the descriptions written below them in the source.

    Pydantic can do so itself (`use_attribute_docstrings`), at the cost of reading the source at every import: almost
    half of a service's start-up, measured. Only this export needs them.
    """
    origin = model.__pydantic_generic_metadata__["origin"] or model
    for ancestor in reversed(origin.__mro__):
        if issubclass(ancestor, BaseModel) and _is_written_down(ancestor):
            tree = ast.parse(textwrap.dedent(inspect.getsource(ancestor))).body[0]
            assert isinstance(tree, ast.ClassDef)
            for member, below in pairwise(tree.body):
                if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name) and _is_text(below):
                    name = member.target.id
                    model.model_fields[name].description = inspect.cleandoc(below.value.value)  # type: ignore[attr-defined]
    model.model_rebuild(force=True)


def _is_written_down(model: type[BaseModel]) -> bool:
    # `Event[X]` is a class of its own that stands in no source file; `Event`, its ancestor too, does.
    return model.__module__.startswith("shared.") and model.__pydantic_generic_metadata__["origin"] is None


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def schema_of(model: type[Event[Any]]) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of an event as it is on the wire."""
    for part in models_within(model):
        _describe(part)
    model.model_rebuild(force=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema(mode="validation")}


def to_text(schema: dict[str, Any]) -> str:
    """Write a schema as it is committed."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def committed(event_type: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """Read the committed schema of a type; None for a type that is new."""
    path = folder / f"{event_type}.json"
    if not path.exists():
        return None
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def export(folder: Path = FOLDER) -> list[str]:
    """Write all schemas, unless one breaks what is committed: then write none, and give what breaks."""
    schemas = {event_type: schema_of(model) for event_type, model in EVENTS.items()}
    broken = [
        f"{event_type}: {change}"
        for event_type, schema in schemas.items()
        if (old := committed(event_type, folder)) is not None
        for change in breaking_changes(old, schema)
    ]
    broken += [f"{path.stem}: removed" for path in sorted(folder.glob("*.json")) if path.stem not in schemas]
    if not broken:
        folder.mkdir(exist_ok=True)
        for event_type, schema in schemas.items():
            (folder / f"{event_type}.json").write_text(to_text(schema), encoding="utf-8")
    return broken


if __name__ == "__main__":
    refused = export()
    sys.stderr.writelines(f"breaks within a version: {change}\n" for change in refused)
    sys.exit(1 if refused else 0)
