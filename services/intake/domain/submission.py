"""A request for assistance on its way in, and what may become of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.intake.domain.client_address import IpAddress, IpNetwork, network_of
from shared.schemas.intake import Issue, ThrottlingLimit


@dataclass(frozen=True, slots=True)
class Submission:
    """What somebody asked for, and from where."""

    email: str
    issue: Issue
    address: IpAddress
    user_agent: str | None
    language: str
    actor: str
    """`anonymous`, or whom the token speaks for."""
    idempotency: Idempotency | None = None

    @property
    def network(self) -> IpNetwork:
        return network_of(self.address)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A key that the client chose, in its scope, and what it was sent with."""

    scope: str
    """A keyed hash over key and sender: one sender's keys mean nothing to another."""
    body: str
    """A keyed hash of the body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the requester is told; the same whatever became of the request."""

    reference_id: str
    language: str


@dataclass(frozen=True, slots=True)
class Entry:
    """All that is written for one request, at once."""

    reference_id: str
    email_hash: str
    earlier_hashes: tuple[str, ...]
    """The address under every key, the newest first: what an older key wrote is found too."""
    suppressed_from: IpNetwork | None
    """Where a suppressed request came from; None for one that is told at once."""
    event_id: str
    event_type: str
    event: bytes
    time: datetime
    language: str
    idempotency: Idempotency | None


class Throttled(Exception):
    """A limit refuses the request; nothing of it was looked at."""

    def __init__(self, limit: ThrottlingLimit, retry_after: int) -> None:
        super().__init__(limit.value)
        self.limit = limit
        self.retry_after = retry_after
        """Seconds."""


class KeyReused(Exception):
    """The idempotency key was used with another body."""


class ReferenceTaken(Exception):
    """The reference ID names another request already."""


class NotDurable(Exception):
    """What should have been written could not be, in the time that a caller waits. Nothing was accepted."""
