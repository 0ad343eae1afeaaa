"""What the use cases need of the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from services.notifier.domain.accounts import Account
from services.notifier.domain.delivery import Answer, Delivery, Recipient, State, Told
from services.notifier.domain.flooding import RecentlyTold
from shared.schemas.envelope import Event
from shared.schemas.notifier import Via

MAIL = "mail"
"""Queue of deliveries: `{"delivery_id"}`."""
LATER = "later"
"""Queue of what is decided later: who is told of a request (`{"reference_id", "checks"}`), what an administrator's
digest tells (`{"admin", "due_at"}`). One queue, because each holds database connections for as long as it runs."""


class Unit(Protocol):
    """A transaction, as far as publishing goes."""

    def publish(self, event: Event[Any], *, key: str) -> None:
        """Stage an event."""
        ...

    def enqueue(self, queue: str, job: Mapping[str, Any], *, not_before: datetime | None = None) -> None:
        """Stage a job."""
        ...


class Accounts(Protocol):
    """The projection of accounts."""

    async def merge(self, accounts: Sequence[Account]) -> None:
        """Join what was said into what is known."""
        ...

    async def of_level(self, level: int) -> list[Account]:
        """Accounts that may be eligible at this level; who is, `Account.why_not_told` says."""
        ...

    async def get(self, account_id: str) -> Account | None:
        """One account."""
        ...


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request for which it is not settled yet who is told."""

    told: Told
    kept_at: datetime


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to be made: of one request at once, or (without `reference_ids`' messages) of a digest's part."""

    id: str
    admin: str
    via: Via
    message_id: str
    reference_ids: tuple[str, ...]


class Requests(Protocol):
    """The requests and who is told of them."""

    async def keep(self, told: Told, now: datetime) -> bool:
        """Keep a request's data, once, as one that is settled; False when it is there already."""
        ...

    async def open(self, reference_id: str) -> OpenRequest | None:
        """Lock a request that is not settled; None when it is, or is unknown."""
        ...

    async def postpone(self, reference_id: str) -> None:
        """Record that it is not settled yet who is told."""
        ...

    async def settle(self, reference_id: str) -> None:
        """Record that it is settled by now."""
        ...

    async def recently_told(
        self, admins: Sequence[str], subject: str | None, since: datetime
    ) -> dict[str, RecentlyTold]:
        """What the administrators were sent at once since then."""
        ...

    async def collect(self, reference_id: str, admins: Sequence[str], due_at: datetime, now: datetime) -> list[str]:
        """Leave the request to the administrators' digests; returns those for whom a digest is due then anew."""
        ...

    async def collected(self, admin: str, due_at: datetime) -> list[Told]:
        """What waits for a digest, oldest first, locked."""
        ...


class Deliveries(Protocol):
    """Deliveries and their attempts."""

    async def add(self, deliveries: Sequence[NewDelivery], now: datetime) -> list[str]:
        """Add deliveries; returns the ids of those whose administrator was not being told of that request yet."""
        ...

    async def lock(self, delivery_id: str) -> tuple[Delivery, list[Told]] | None:
        """One delivery, locked, and the requests that it tells of, oldest first."""
        ...

    async def begin_attempt(self, delivery_id: str) -> int:
        """Claim the delivery and count an attempt; what was left without an answer becomes `unknown`."""
        ...

    async def keep_claim(self, delivery_id: str) -> None:
        """Say that the attempt is still going on."""
        ...

    async def end_attempt(self, delivery_id: str, number: int, answer: Answer, state: State, now: datetime) -> bool:
        """Record an answer; False when the delivery was settled by somebody else meanwhile."""
        ...

    async def cancel(self, delivery_id: str, reason: str, now: datetime) -> None:
        """Record that it is not sent."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """One transaction with its repositories."""

    unit: Unit
    accounts: Accounts
    requests: Requests
    deliveries: Deliveries


BeginWork = Callable[[], AbstractAsyncContextManager[Work]]


class Progress(Protocol):
    """How far the consumer is with what the identity platform reported."""

    async def lag(self) -> int | None:
        """How many records of the identity topics are not consumed yet; None where that can't be learnt."""
        ...

    async def catching_up(self) -> bool:
        """Whether a backlog is being worked off, as after a start. Costs nothing while there is none."""
        ...


class Composer(Protocol):
    """Makes messages."""

    def message(self, delivery: Delivery, recipient: Recipient, told: Sequence[Told]) -> bytes:
        """The delivery as it goes over the wire."""
        ...

    def digest_parts(self, recipient: Recipient, told: Sequence[Told]) -> list[list[Told]]:
        """Split what a digest tells so that each part fits one message."""
        ...


class Send(Protocol):
    """Hands a message to an SMTP server."""

    async def __call__(self, message: bytes, recipient: str) -> Answer:
        """Never raises for what a server or a network does."""
        ...
