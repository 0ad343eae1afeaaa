"""`python -m shared.schemas.export`: write the JSON Schema of every event to `json/<type>.json`.

Refuses to replace a schema by one that breaks it; such a change needs a new version of the type.
"""

import json
import sys
from pathlib import Path
from typing import Any

from shared.schemas.compatibility import breaking_changes
from shared.schemas.envelope import Event
from shared.schemas.registry import EVENTS

FOLDER = Path(__file__).parent / "json"


def schema_of(model: type[Event[Any]]) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of an event as it is on the wire."""
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
