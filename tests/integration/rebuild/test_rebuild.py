"""A projection made anew from the ledgers is the one that grew, byte for byte, whatever the order and the crash."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from shared.kit.db.digest import Digest
from shared.kit.projection import Outcome, RebuildError
from shared.schemas.enrichment import AssistanceEnriched
from shared.schemas.envelope import Event
from shared.schemas.registry import decode
from tests.builders import happenings
from tests.integration.rebuild.conftest import Services
from tests.integration.rebuild.living import Living
from tests.unit.enrichment import builders as build

PROJECTING = ("enrichment", "notifier", "recovery")


def publishers_of(services: Services, name: str) -> list[Living]:
    return [services[publisher] for publisher in services[name].projection.publishers]


def after(outcome: Outcome) -> dict[str, Digest]:
    return {table.table: table.after for table in outcome.tables}


def of_interest(name: str, events: Sequence[Event[Any]]) -> list[Event[Any]]:
    """What a service's consumer gets: recovery doesn't consume what it said itself, notifier no request."""
    unheard = {"enrichment": (), "notifier": ("recovery", "assistance"), "recovery": ("recovery",)}[name]
    return [event for event in events if event.type.split(".")[1] not in unheard]


async def deliver(service: Living, events: Sequence[Event[Any]], chance: random.Random) -> None:
    """In any order and batches, some of them twice."""
    delivered = [*events, *(chance.choice(events) for _ in range(chance.randint(0, len(events))))] if events else []
    chance.shuffle(delivered)
    while delivered:
        size = chance.randint(1, len(delivered))
        await service.consume(*delivered[:size])
        delivered = delivered[size:]


async def enriched_by(service: Living) -> list[Event[Any]]:
    rows = await service.rows("SELECT value FROM ledger ORDER BY id")
    return [event for row in rows if isinstance(event := decode(bytes(row.value)), AssistanceEnriched)]


EVENTS = st.tuples(
    st.lists(happenings.identity_events, min_size=1, max_size=14),
    st.lists(happenings.recovery_events, max_size=4),
    st.lists(happenings.requests, max_size=4),
)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=EVENTS, chance=st.randoms(use_true_random=False))
async def test_what_grew_in_any_order_is_what_the_ledgers_say_in_any_order(
    services: Services, events: tuple[list[Event[Any]], ...], chance: random.Random
) -> None:
    for one in services.values():
        await one.empty()
    identity, recovery, requests = (
        happenings.told_apart(some, chance, 100 * number) for number, some in enumerate(events)
    )
    said = [*identity, *recovery, *requests]
    await deliver(services["enrichment"], said, chance)
    enriched = await enriched_by(services["enrichment"])
    await deliver(services["notifier"], of_interest("notifier", said), chance)
    await deliver(services["recovery"], [*of_interest("recovery", said), *enriched], chance)
    async with services["recovery"].database.begin() as unit:  # what recovery said itself is in its log too
        from services.recovery.adapters.store import SqlTransaction
        from services.recovery.usecases.chronicle import tell_accounts

        await tell_accounts(SqlTransaction(unit), recovery)
    # Ledgers that were written in two other orders, and are read in two.
    digests = []
    for _ in range(2):
        for publisher, published in (("intake", [*identity, *requests]), ("recovery", recovery)):
            await services[publisher].rows_deleted("ledger")
            chance.shuffle(published)
            await services[publisher].publish(*published)
        for name in PROJECTING:
            publishers = publishers_of(services, name)
            chance.shuffle(publishers)
            outcome = await services[name].rebuild(*publishers, check=True, batch=chance.randint(4, 20))
            assert outcome.equal, [table for table in outcome.tables if not table.equal]
            digests.append((name, after(outcome)))
    assert digests[: len(PROJECTING)] == digests[len(PROJECTING) :]
    assert outcome.unknown == 0


STORY: list[Event[Any]] = [
    build.an_account("a", email="a@example.org", data_protection_access=2),
    build.signed_in("a"),
    build.failed("a"),
    build.failed(None, email="a@example.org"),
    build.password_changed("a"),
    build.asked("a@example.org"),
    build.access_email_sent("a"),
]
RUIN = {
    "enrichment": ["DELETE FROM accounts", "UPDATE seen SET count = count + 1", "DELETE FROM failed_signins",
                   "UPDATE requests SET account_id = NULL", "UPDATE milestones SET details = '{}'"],
    "notifier": ["UPDATE accounts SET level = 0"],
    "recovery": ["UPDATE accounts SET locale = 'de'", "DELETE FROM activity", "UPDATE requests SET account_id = NULL"],
}  # fmt: skip


async def live(services: Services, events: Sequence[Event[Any]] = STORY) -> None:
    """Publishes and consumes, in order."""
    for event in events:
        publisher = "recovery" if event.type.startswith("readmit.recovery.") else "intake"
        await services[publisher].publish(event)
        for name in PROJECTING:
            if wanted := of_interest(name, [event]):
                await services[name].consume(*wanted)
    for event in await enriched_by(services["enrichment"]):
        await services["recovery"].consume(event)
    async with services["recovery"].database.begin() as unit:
        from services.recovery.adapters.store import SqlTransaction
        from services.recovery.usecases.chronicle import tell_accounts

        own = [event for event in events if event.type.startswith("readmit.recovery.")]
        await tell_accounts(SqlTransaction(unit), own)


async def ruin(service: Living) -> None:
    async with service.database.begin() as unit:
        for statement in RUIN[service.name]:
            changed = await unit.connection.execute(text(statement))
            assert changed.rowcount, statement


@pytest.mark.parametrize("name", PROJECTING)
async def test_a_ruined_projection_is_noticed_and_made_anew(services: Services, name: str) -> None:
    service, publishers = services[name], publishers_of(services, name)
    await live(services)
    sound = await service.rebuild(*publishers, check=True)
    assert sound.equal
    assert sound.unknown == 0
    await ruin(service)
    seen = await service.rebuild(*publishers, check=True)
    assert not seen.equal
    assert after(seen) == after(sound)
    assert not (await service.rebuild(*publishers, check=True)).equal  # looking mends nothing
    assert not (await service.rebuild(*publishers)).equal  # it says what it found
    mended = await service.rebuild(*publishers, check=True)
    assert mended.equal
    assert after(mended) == after(sound)


async def test_what_the_service_decided_itself_is_left_alone(services: Services) -> None:
    recovery = services["recovery"]
    await live(services)
    async with recovery.database.begin() as unit:
        await unit.connection.execute(
            text("UPDATE requests SET state = 'closed', closed_by = 'someone', note = 'done', account_id = NULL")
        )
    await recovery.rebuild(*publishers_of(services, "recovery"))
    (row,) = await recovery.rows("SELECT state, closed_by, note, account_id FROM requests")
    assert tuple(row) == ("closed", "someone", "done", "a")


@pytest.mark.parametrize("where", ["beside", "folded", "replaced"])
async def test_a_crash_in_the_middle_leaves_the_old(services: Services, where: str) -> None:
    service, publishers = services["enrichment"], publishers_of(services, "enrichment")
    await live(services)
    await ruin(service)
    before = [table.before for table in (await service.rebuild(*publishers, check=True)).tables]

    async def stop(reached: str) -> None:
        if reached == where:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await service.rebuild(*publishers, on_progress=stop)
    assert [table.before for table in (await service.rebuild(*publishers, check=True)).tables] == before
    await service.consume(build.signed_in("a"))  # and no lock


async def test_the_service_goes_on_meanwhile(services: Services) -> None:
    """What is consumed while the new tables grow, and while it waits for the swap, is in them once."""
    service, publishers = services["enrichment"], publishers_of(services, "enrichment")
    await live(services)
    await ruin(service)
    during, held = [build.signed_in("a") for _ in range(20)], [build.signed_in("a") for _ in range(20)]
    await services["intake"].publish(*during, *held)
    waiting: list[asyncio.Task[None]] = []

    async def traffic(reached: str) -> None:
        if reached == "beside":
            for event in during:
                await service.consume(event)
        if reached == "folded":
            waiting.extend(asyncio.create_task(service.consume(event)) for event in held)
            done, _ = await asyncio.wait(waiting, timeout=0.3)
            assert not done, "the consumer's transaction waits for the new rows"

    await service.rebuild(*publishers, on_progress=traffic)
    await asyncio.gather(*waiting)
    (row,) = await service.rows("SELECT count FROM seen WHERE kind = 'ip'")
    assert row.count == 1 + len(during) + len(held)
    assert (await service.rebuild(*publishers, check=True)).equal


async def test_what_is_still_on_its_way_has_its_effect_when_it_arrives(services: Services) -> None:
    service, publishers = services["enrichment"], publishers_of(services, "enrichment")
    await live(services)
    late = build.signed_in("a")
    await services["intake"].publish(late)
    assert (await service.rebuild(*publishers)).equal
    await service.consume(late)
    await service.consume(late)
    (row,) = await service.rows("SELECT count FROM seen WHERE kind = 'ip'")
    assert row.count == 2
    assert (await service.rebuild(*publishers, check=True)).equal


async def test_events_that_no_ledger_holds_are_not_forgotten_unasked(services: Services) -> None:
    service, publishers = services["notifier"], publishers_of(services, "notifier")
    await live(services)
    await service.consume(build.an_account("lost"))
    with pytest.raises(RebuildError, match="consumed 1 events that no ledger holds"):
        await service.rebuild(*publishers)
    assert await service.rows("SELECT 1 FROM accounts WHERE account_id = 'lost'")
    assert (await service.rebuild(*publishers, allow_unknown=True)).unknown == 1
    assert not await service.rows("SELECT 1 FROM accounts WHERE account_id = 'lost'")


async def test_it_gives_way_to_a_service_that_holds_its_tables(services: Services) -> None:
    """A transaction of the service that would wait for us in a circle is never the one that is ended."""
    service, publishers = services["notifier"], publishers_of(services, "notifier")
    await live(services)
    async with service.database.begin() as unit:
        await unit.connection.execute(text("UPDATE accounts SET level = level"))
        task = asyncio.create_task(service.rebuild(*publishers, check=True))
        done, _ = await asyncio.wait([task], timeout=1.5)
        assert not done
        await unit.connection.execute(text("INSERT INTO inbox VALUES ('/x', 'y')"))
        await unit.connection.execute(text("DELETE FROM inbox WHERE source = '/x'"))
    assert (await task).equal
