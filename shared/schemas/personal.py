"""Which members of a model are personal: what audit encrypts, and erasure makes unreadable."""

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from shared.schemas.values import PERSONAL, Personal

__all__ = ["ITEM", "PERSONAL", "Personal", "models_within", "personal_paths"]

ITEM = "*"
"""In a path: every item of the array."""


@cache
def personal_paths(model: type[BaseModel]) -> frozenset[tuple[str, ...]]:
    """Give the path of every personal member, from the model down; a path covers all that is below it.

    `("data", "email")`, and with `ITEM` for the items of arrays `("data", "networks", "*")`.
    """
    return frozenset(_members(model))


@cache
def models_within(model: type[BaseModel]) -> frozenset[type[BaseModel]]:
    """Give the model and every model that it is made of."""
    found = {model}
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            found |= models_within(inner)
    return frozenset(found)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models(argument)


def _members(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        if any(isinstance(mark, Personal) for mark in field.metadata):
            yield (name,)
        else:
            yield from ((name, *path) for path in _within(field.annotation))


def _within(annotation: Any) -> Iterator[tuple[str, ...]]:
    """Give the paths below a value of this type; the empty path when the value itself is personal."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if any(isinstance(mark, Personal) for mark in arguments[1:]):
            yield ()
        else:
            yield from _within(arguments[0])
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _members(annotation)
    elif origin in (tuple, list, frozenset):
        yield from ((ITEM, *path) for path in _within(arguments[0]))
    else:
        for argument in arguments:
            yield from _within(argument)
