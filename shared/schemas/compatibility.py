"""Whether a changed JSON Schema still fits what was written under the old one.

Within a version of a type, whatever the old schema took has to be taken by the new one, and a member that readers know
has to stay. So these break it: a new required member, a member that is gone or no longer required, a narrower type,
enumeration, pattern or bound. Optional members, wider bounds and descriptions may come as they like.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Say what in the new schema breaks the old one, each with the path of the member; empty when nothing does."""
    return [f"{path or 'event'}: {what}" for path, what in _Comparison(old, new).compare(old, new, "")]


class _Comparison:
    """Compares two documents; our schemas are trees, so following references comes to an end."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new

    def compare(self, old: Schema, new: Schema, path: str) -> Iterator[tuple[str, str]]:
        old, new = _resolved(old, self._old), _resolved(new, self._new)
        if "anyOf" in old or "anyOf" in new:
            yield from self._compare_alternatives(old, new, path)
            return
        yield from _compare_scalars(old, new, path)
        yield from self._compare_members(old, new, path)
        for name in ("items", "additionalProperties"):
            if isinstance(old.get(name), Mapping) and isinstance(new.get(name), Mapping):
                yield from self.compare(old[name], new[name], f"{path}[]")

    def _compare_alternatives(self, old: Schema, new: Schema, path: str) -> Iterator[tuple[str, str]]:
        """Each of the old alternatives has to fit into one of the new ones."""
        for alternative in old.get("anyOf", [old]):
            attempts = [list(self.compare(alternative, candidate, path)) for candidate in new.get("anyOf", [new])]
            if all(attempts):
                yield from min(attempts, key=len)

    def _compare_members(self, old: Schema, new: Schema, path: str) -> Iterator[tuple[str, str]]:
        old_members, new_members = old.get("properties", {}), new.get("properties", {})
        old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(new_required - old_required):
            yield f"{path}.{name}".lstrip("."), "now required"
        for name, member in old_members.items():
            where = f"{path}.{name}".lstrip(".")
            if name not in new_members:
                yield where, "removed"
                continue
            if name in old_required - new_required:
                yield where, "no longer required"
            yield from self.compare(member, new_members[name], where)


def _compare_scalars(old: Schema, new: Schema, path: str) -> Iterator[tuple[str, str]]:
    if "type" in new and new["type"] != old.get("type") and (old.get("type"), new["type"]) != ("integer", "number"):
        yield path, "another type"
        return
    old_values, new_values = _values(old), _values(new)
    if new_values is not None and (old_values is None or not old_values <= new_values):
        yield path, "fewer values"
    for bound in _LOWER_BOUNDS:
        if bound in new and new[bound] > old.get(bound, float("-inf")):
            yield path, f"narrower {bound}"
    for bound in _UPPER_BOUNDS:
        if bound in new and new[bound] < old.get(bound, float("inf")):
            yield path, f"narrower {bound}"
    for keyword in ("pattern", "format"):
        # Whether one pattern takes all that another takes can't be told in general: any change is one too many.
        if keyword in new and new[keyword] != old.get(keyword):
            yield path, f"another {keyword}"
    if old.get("personal") and not new.get("personal"):
        yield path, "no longer personal"


def _values(schema: Schema) -> frozenset[Any] | None:
    if "const" in schema:
        return frozenset([schema["const"]])
    return frozenset(schema["enum"]) if "enum" in schema else None


def _resolved(schema: Schema, document: Schema) -> Schema:
    """Follow a reference; what stands beside it (`personal`, a default) stays."""
    while "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        schema = {**document["$defs"][name], **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema
