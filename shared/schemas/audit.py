"""What audit publishes: who read the records, who took them out, and whose were erased."""

from enum import StrEnum
from typing import Literal, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from shared.schemas.action import ActionData
from shared.schemas.envelope import Event
from shared.schemas.values import Count, KeyedHash, Label, Prose


class ExportFormat(StrEnum):
    """The formats of an export."""

    BUNDLE = "bundle"
    JSONL = "jsonl"
    CSV = "csv"
    OCSF = "ocsf"


class AuditQueriedData(ActionData):
    """Somebody read records."""

    endpoint: Label
    """Which call, as a route without what was filled in."""
    query: Prose | None = None
    """As asked; names people, so personal."""
    count: Count
    """How many records were answered."""


class AuditExportedData(ActionData):
    """Somebody exported records."""

    format: ExportFormat
    query: Prose | None = None
    count: Count
    tree_size: Count


class SubjectErasedData(ActionData):
    """A person's data was erased: of an account (`subject`), of an address, or both."""

    email_hash: KeyedHash | None = None

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if self.subject is None and self.email_hash is None:
            raise PydanticCustomError("subject_or_email_hash", "neither subject nor email_hash")
        return self


class AuditQueried(Event[AuditQueriedData]):
    """The audit records were read."""

    type: Literal["readmit.audit.queried.v1"] = "readmit.audit.queried.v1"


class AuditExported(Event[AuditExportedData]):
    """The audit records were exported."""

    type: Literal["readmit.audit.exported.v1"] = "readmit.audit.exported.v1"


class SubjectErased(Event[SubjectErasedData]):
    """A person was erased: every service removes what it holds of them, older events have no effect."""

    type: Literal["readmit.audit.subject-erased.v1"] = "readmit.audit.subject-erased.v1"


EVENTS = (AuditQueried, AuditExported, SubjectErased)
