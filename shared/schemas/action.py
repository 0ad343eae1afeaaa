"""What the events of our own services have in common: who did what to whom, and how it ended."""

from enum import StrEnum

from shared.schemas.envelope import Data
from shared.schemas.reference import ReferenceId
from shared.schemas.values import AccountId, Actor, ReasonCode

ANONYMOUS = "anonymous"


class Outcome(StrEnum):
    """How it ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    DENIED = "denied"
    SUPPRESSED = "suppressed"


class ActionData(Data):
    """The base of the `data` of every internal event; each member where it applies."""

    reference_id: ReferenceId | None = None
    actor: Actor
    on_behalf_of: AccountId | None = None
    subject: AccountId | None = None
    """The account that it is about."""
    outcome: Outcome = Outcome.SUCCESS
    reason: ReasonCode | None = None


def service_actor(name: str) -> str:
    """Give the actor of what a service does by itself."""
    return f"service:{name}"
