"""Taking what the identity platform reports: all events of a batch or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.intake.domain.submission import NotDurable
from services.intake.ports import EventLog, Feeds, Room
from shared.kit.addresses import AddressHasher
from shared.kit.clock import Clock
from shared.schemas import identity
from shared.schemas.envelope import Event, UnknownEvent
from shared.schemas.registry import MalformedEvent, decode

MOST_AHEAD = timedelta(minutes=5)  # clocks differ; a state from further ahead would win over all real ones until then
# Validating an event takes about 50 µs; other requests get their turn after this many.
_EVENTS_A_TURN = 50

_TYPES = frozenset(event.type_name() for event in identity.EVENTS)
# Consumers know an event by source and id, so what our own services call themselves is theirs.
_OURS = frozenset(f"/readmit/{name}" for name in ("intake", "enrichment", "notifier", "recovery", "audit"))


@dataclass(frozen=True, slots=True)
class BadEvent:
    """Why an event of the batch can't be accepted; no value of it is quoted."""

    index: int
    reason: str


class BadEvents(Exception):
    """None of the batch is accepted."""

    def __init__(self, errors: Sequence[BadEvent]) -> None:
        super().__init__(f"{len(errors)} bad events")
        self.errors = errors


class AcceptEvents:
    """Validates events and writes them down."""

    def __init__(self, log: EventLog, room: Room, feeds: Feeds, hash_address: AddressHasher, *, clock: Clock) -> None:
        self._log = log
        self._room = room
        self._feeds = feeds
        self._hash = hash_address
        self._clock = clock

    async def __call__(self, items: Sequence[bytes]) -> int:
        """How many events were accepted, once they are durable; those that were accepted before count too.

        Raises:
            BadEvents, NotDurable
        """
        latest = self._clock() + MOST_AHEAD
        accepted: list[tuple[Event[Any], str]] = []
        errors: list[BadEvent] = []
        for index, raw in enumerate(items):
            try:
                event = _read(raw, latest)
            except MalformedEvent as malformed:
                errors.append(BadEvent(index, malformed.reason))
            else:
                accepted.append((event, self._key(event)))
            if index % _EVENTS_A_TURN == _EVENTS_A_TURN - 1:
                await asyncio.sleep(0)
        if errors:
            raise BadEvents(errors)
        if accepted:
            if self._room.is_full():
                raise NotDurable
            await self._log.append(accepted)
            self._room.added(len(accepted))
            self._feeds.heard(event.source for event, _ in accepted)
        return len(accepted)

    def _key(self, event: Event[Any]) -> str:
        """The Kafka key: the account id, else the keyed hash of the address that somebody tried."""
        account_id: str | None = event.data.account_id
        return self._hash(event.data.email) if account_id is None else account_id


def _read(raw: bytes, latest: datetime) -> Event[Any]:
    event = decode(raw)
    if isinstance(event, UnknownEvent) or event.type not in _TYPES:
        raise MalformedEvent("type: unknown")
    if event.time > latest:
        raise MalformedEvent("time: more than 5 minutes ahead")
    if event.source in _OURS:
        raise MalformedEvent("source: reserved for this system's own services")
    return event
