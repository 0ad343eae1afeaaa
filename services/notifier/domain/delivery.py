"""A message on its way to one administrator: states, and what an attempt's answer makes of them."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.schemas.enrichment import AssistanceEnrichedData
from shared.schemas.notifier import Via

FALLBACK = ""
"""Stands where an administrator's account id would: the organisation's fallback address. No account id is empty."""

HORIZON = timedelta(hours=24)
"""How long a server that says 4xx or nothing is asked again (contract, section 9)."""


class State(StrEnum):
    """Where a delivery is."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    """The server refused for good."""
    ABANDONED = "abandoned"
    """The time for trying is over."""
    CANCELLED = "cancelled"
    """The administrator was no longer eligible when it was to be sent."""


FINAL = frozenset({State.SENT, State.FAILED, State.ABANDONED, State.CANCELLED})


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    ACCEPTED = "accepted"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"
    """The sender died before it recorded the answer: the server may have the message."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server, or the lack of one, said to an attempt."""

    outcome: AttemptOutcome
    status: int | None = None
    text: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one administrator: about one request, or a digest of several."""

    id: str
    admin: str
    via: Via
    message_id: str
    state: State
    attempts: int
    created_at: datetime
    claimed: bool = False
    """Whether somebody is sending it right now."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a delivery goes and how its reader wants it."""

    address: str
    name: str = ""
    locale: str | None = None
    time_zone: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A request that a delivery tells of."""

    data: AssistanceEnrichedData
    traceparent: str | None = None

    @property
    def reference_id(self) -> str:
        """The request's name."""
        return self.data.reference_id


def state_after(answer: Answer, *, created_at: datetime, now: datetime) -> State:
    """The state that an attempt's answer leads to."""
    match answer.outcome:
        case AttemptOutcome.ACCEPTED:
            return State.SENT
        case AttemptOutcome.PERMANENT:
            return State.FAILED
        case _:
            return State.QUEUED if now < created_at + HORIZON else State.ABANDONED


def message_id(key: bytes, *parts: str, domain: str) -> str:
    """The Message-ID of what `parts` name: always the same for them, and telling no outsider what they are."""
    digest = hmac.new(key, "\x00".join(("message-id", *parts)).encode(), "sha256").hexdigest()
    return f"<{digest[:40]}@{domain}>"
