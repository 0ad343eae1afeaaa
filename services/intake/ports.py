"""What intake's use cases need of the outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from services.intake.domain.client_address import IpAddress, IpNetwork
from services.intake.domain.submission import Answer, Entry
from shared.schemas.envelope import Data, Event
from shared.schemas.intake import SuppressionReason, ThrottlingLimit


class Limits(Protocol):
    """Counts requests. Each call counts one."""

    async def network(self, network: IpNetwork) -> int | None:
        """None, or the seconds until the network may ask again."""

    async def total(self) -> int | None:
        """None, or the seconds until anybody may ask again."""

    async def address(self, email_hash: str, network: IpNetwork) -> SuppressionReason | None:
        """None, or which limit of the email address is used up."""


class Refused(Protocol):
    """Hears of refused requests; never waits."""

    def __call__(self, limit: ThrottlingLimit, address: IpAddress, network: IpNetwork, actor: str) -> None: ...


class Requests(Protocol):
    """Keeps requests."""

    async def record(self, entry: Entry) -> Answer:
        """Writes the request, its event and its idempotency key at once, or gives the answer that the key had before.

        Raises:
            KeyReused, ReferenceTaken, NotDurable
        """


class Room(Protocol):
    """Knows how much waits to be published."""

    def is_full(self) -> bool:
        """Whether so much waits that no event may join it."""

    def added(self, count: int) -> None:
        """Hears that so many more wait."""


class Feeds(Protocol):
    """Keeps when each source was last heard; never waits."""

    def heard(self, sources: Iterable[str]) -> None: ...


class EventLog(Protocol):
    """Keeps identity events."""

    async def append(self, events: Sequence[tuple[Event[Data], str]]) -> None:
        """Writes events with their Kafka keys, all or none; those that are there already have no effect.

        Raises:
            NotDurable
        """
