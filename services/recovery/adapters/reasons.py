"""The organisation's predefined reasons, from a file."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from shared.schemas.values import Label, ReasonCode


class Reason(BaseModel):
    """One reason: the code is recorded, the label is shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: ReasonCode
    label: Label


def load_reasons(path: Path | None) -> tuple[Reason, ...]:
    """The reasons in the file, or the ones that come with Readmit.

    Raises:
        ValueError: it can't be read, is not `[{"code", "label"}]`, is empty, or has a code twice.
    """
    try:
        content = path.read_bytes() if path else (files("services.recovery") / "reasons.json").read_bytes()
        reasons = TypeAdapter(tuple[Reason, ...]).validate_python(json.loads(content))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, ValidationError):
        raise ValueError('must be a JSON file of the form [{"code": "…", "label": "…"}]') from None
    if not reasons or len({reason.code for reason in reasons}) != len(reasons):
        raise ValueError("must hold at least one reason, and each code once")
    return reasons
