"""Identity events into the ledger: one transaction a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from services.intake.adapters.durability import durably
from shared.kit.db.unit import Database, Publication
from shared.kit.failpoints import failpoint
from shared.kit.messaging.tracing import current_traceparent
from shared.schemas.envelope import Data, Event

_EVENTS_A_TURN = 100  # writing one out takes about 10 µs


class EventStore:
    """The `EventLog` port on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, events: Sequence[tuple[Event[Data], str]]) -> None:
        traceparent = current_traceparent()
        publications = []
        for number, (event, key) in enumerate(events, start=1):
            if event.traceparent is None:
                event = event.model_copy(update={"traceparent": traceparent})
            publications.append(_publication(event, key))
            if number % _EVENTS_A_TURN == 0:
                await asyncio.sleep(0)
        # Two batches that share events wait for one another's rows: in one order, lest they wait for ever. Nobody
        # downstream relies on the order of events.
        publications.sort(key=lambda publication: (publication.source, publication.event_id))
        await durably(partial(self._write, publications))

    async def _write(self, publications: Sequence[Publication]) -> None:
        async with self._database.begin() as unit:
            await failpoint("intake.events.before-insert")
            for publication in publications:
                unit.publish_raw(publication)


def _publication(event: Event[Data], key: str) -> Publication:
    publication = Publication.of(event, key)
    # The ledger's subject is the account, whether or not the platform filled the attribute in: erasure looks there.
    account_id = getattr(event.data, "account_id", None)
    return publication if account_id is None else replace(publication, subject=account_id)
