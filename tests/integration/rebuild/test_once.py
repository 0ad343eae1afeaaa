"""Events, crashes and redeliveries in any order: each effect once, nothing lost, projections the fold of what was said.

A state machine over real databases and the real code of inbox, ledger, outbox, relay and handlers. Only the broker is
played: a list of messages that forgets nothing, and per consumer how far it is. What crashes, crashes at a statement:
nothing after it is carried out, as if the process had been killed there.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from services.recovery.adapters.store import SqlTransaction
from services.recovery.usecases.chronicle import tell_accounts
from shared.kit.messaging import relay
from shared.schemas.envelope import Event
from shared.schemas.identity import EVENTS as IDENTITY_EVENTS
from shared.schemas.identity import AccountReported, SigninFailed, SigninSucceeded
from shared.schemas.intake import AssistanceRequested, AssistanceSuppressed
from shared.schemas.recovery import EVENTS as RECOVERY_EVENTS
from shared.schemas.registry import decode
from tests.builders import happenings
from tests.engines import PostgresEngine
from tests.integration.rebuild.living import Living, living

PUBLISHING = ("intake", "enrichment", "recovery")
CONSUMING = ("enrichment", "notifier", "recovery")
REQUESTS = (AssistanceRequested, AssistanceSuppressed)
# Statements of a transaction are a dozen at most; None is no crash.
CRASHES = st.sampled_from([*[None] * 20, *range(13)])
CHANCE = st.randoms(use_true_random=False)


class Crash(BaseException):
    """The process is gone: no code of ours may catch it and go on."""


@contextmanager
def crashing_at(service: Living, statement: int | None) -> Iterator[None]:
    """Crashes before the statement of that number is carried out, at the latest before the commit."""
    engine, left = service.database.engine.sync_engine, statement

    def count(*_: Any) -> None:
        nonlocal left
        if left == 0:
            raise Crash
        if left is not None:
            left -= 1

    def before_commit(*_: Any) -> None:
        if statement is not None:
            raise Crash

    sqlalchemy_event.listen(engine, "before_cursor_execute", count)
    sqlalchemy_event.listen(engine, "commit", before_commit)
    try:
        yield
    finally:
        sqlalchemy_event.remove(engine, "before_cursor_execute", count)
        sqlalchemy_event.remove(engine, "commit", before_commit)


class Topics:
    """The broker: what was sent stays. It may be away from some message on."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.left: int | None = None  # how many it still takes

    async def publish(self, message: bytes, topic: str, **_: Any) -> asyncio.Future[Any]:
        if self.left == 0:
            raise ConnectionError("the broker is away")
        if self.left is not None:
            self.left -= 1
        self.messages.append(message)
        acknowledged: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged


class World(RuleBasedStateMachine):
    """What may happen. `services` and `runner` are set by the test."""

    services: ClassVar[dict[str, Living]]
    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self.topics = Topics()
        self.events = 0  # made so far
        self.said: dict[str, set[str]] = {name: set() for name in PUBLISHING}  # ids of what was committed
        self.committed = dict.fromkeys(CONSUMING, 0)  # offsets
        self.effective: dict[str, dict[str, Event[Any]]] = {name: {} for name in CONSUMING}
        for service in self.services.values():
            self.run(service.empty())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    # -- what is said

    @rule(
        events=st.lists(
            st.one_of(happenings.identity_events, happenings.identity_events, happenings.requests),
            min_size=1,
            max_size=6,
        ),
        chance=CHANCE,
        again=st.booleans(),
        crash=CRASHES,
    )
    def intake_accepts(self, events: list[Event[Any]], chance: random.Random, again: bool, crash: int | None) -> None:
        """Each batch a transaction; what was accepted before may come again."""
        events = self.named(events, chance)
        if again:
            events = [*events, *self.run(published(self.services["intake"]))[:2]]
        if self.completes("intake", publish(self.services["intake"], events), crash):
            self.said["intake"] |= {event.id for event in events}

    @rule(event=happenings.recovery_events, chance=CHANCE, crash=CRASHES)
    def recovery_acts(self, event: Event[Any], chance: random.Random, crash: int | None) -> None:
        (event,) = self.named([event], chance)
        if self.completes("recovery", act(self.services["recovery"], event), crash):
            self.said["recovery"].add(event.id)

    # -- what is carried

    @rule(
        rows=st.integers(1, 4),
        takes=st.one_of(st.none(), st.integers(0, 12)),
        dies=st.booleans(),
        chance=CHANCE,
    )
    def relays_send(self, rows: int, takes: int | None, dies: bool, chance: random.Random) -> None:
        """The broker may be away in the middle of a row; a relay may die before it deletes its last row."""
        self.topics.left = takes
        for name in PUBLISHING:
            for left in reversed(range(rows)):
                self.run(relay_row(self.services[name], self.topics, chance, dies=dies and left == 0))
        self.topics.left = None

    @rule(
        name=st.sampled_from(CONSUMING),
        size=st.integers(1, 30),
        order=CHANCE,
        crash=CRASHES,
        offset_commit=st.booleans(),
    )
    def consumer_gets(self, name: str, size: int, order: random.Random, crash: int | None, offset_commit: bool) -> None:
        """A batch out of order, from the committed offset on; it may crash, or die between effect and offset."""
        start = self.committed[name]
        batch = self.topics.messages[start : start + size]
        events = [event for event in map(decode, batch) if consumes(name, event)]
        order.shuffle(events)
        if not self.completes(name, self.services[name].consume(*events), crash):  # type: ignore[arg-type]
            return
        self.effective[name] |= {event.id: event for event in events}  # type: ignore[misc]
        if name == "enrichment":
            self.said[name] |= {event.id for event in self.run(published(self.services[name]))}
        if offset_commit:
            self.committed[name] = start + len(batch)

    @rule(name=st.sampled_from(CONSUMING), back=st.integers(1, 10))
    def group_goes_back(self, name: str, back: int) -> None:
        """A rebalance whose commit was refused: older records again."""
        self.committed[name] = max(0, self.committed[name] - back)

    def named(self, events: list[Event[Any]], chance: random.Random) -> list[Event[Any]]:
        self.events += len(events)
        return happenings.told_apart(events, chance, self.events - len(events))

    def completes(self, name: str, work: Coroutine[Any, Any, Any], crash: int | None) -> bool:
        with crashing_at(self.services[name], crash):
            try:
                self.run(work)
            except Crash:
                return False
        return True

    # -- what must hold

    @invariant()
    def what_was_committed_is_in_the_ledger_once_and_nothing_else(self) -> None:
        for name in PUBLISHING:
            found = [event.id for event in self.run(published(self.services[name]))]
            assert Counter(found) == dict.fromkeys(self.said[name], 1)

    @invariant()
    def nothing_is_carried_that_was_not_said(self) -> None:
        said = set().union(*self.said.values())
        assert {json.loads(message)["id"] for message in self.topics.messages} <= said

    @invariant()
    def each_effect_is_there_once(self) -> None:
        for name in CONSUMING:
            events = self.effective[name].values()
            rows = self.run(self.services[name].rows("SELECT event_id FROM inbox"))
            assert sorted(row.event_id for row in rows) == sorted(event.id for event in events)
        assert self.run(counts(self.services)) == {
            "signins": sum(isinstance(event, SigninSucceeded) for event in self.effective["enrichment"].values()),
            "failures": sum(isinstance(event, SigninFailed) for event in self.effective["enrichment"].values()),
            "requests": sum(isinstance(event, REQUESTS) for event in self.effective["enrichment"].values()),
            "settled": sum(isinstance(event, AssistanceRequested) for event in self.effective["enrichment"].values()),
            "lines": len(self.said["recovery"])
            + sum(
                isinstance(event, IDENTITY_EVENTS)
                and not isinstance(event, AccountReported)
                and event.data.account_id is not None
                for event in self.effective["recovery"].values()
            ),
        }

    def relay_all(self) -> None:
        for name in PUBLISHING:
            while self.run(relay_row(self.services[name], self.topics, random.Random(1))):
                pass

    def teardown(self) -> None:
        """Once nothing crashes any more, all that was said arrives, and the projections are its fold."""
        self.relay_all()
        for name in CONSUMING:  # enrichment first, whose events recovery consumes
            self.consumer_gets(name, 10_000, random.Random(1), None, True)
            self.relay_all()
        self.each_effect_is_there_once()
        carried = {json.loads(message)["id"] for message in self.topics.messages}
        assert carried == set().union(*self.said.values()), "all that was said is published"
        for name in CONSUMING:
            service = self.services[name]
            publishers = [self.services[publisher] for publisher in service.projection.publishers]
            outcome = self.run(service.rebuild(*publishers, check=True))
            assert outcome.equal, [table for table in outcome.tables if not table.equal]
            assert outcome.unknown == 0


def consumes(name: str, event: Any) -> bool:
    if isinstance(event, IDENTITY_EVENTS):
        return event.type in IDENTITY_OF[name]
    if isinstance(event, RECOVERY_EVENTS):
        return name == "enrichment"
    return name == "recovery" or (name == "enrichment" and isinstance(event, REQUESTS))


async def published(service: Living) -> list[Event[Any]]:
    rows = await service.rows("SELECT value FROM ledger ORDER BY id")
    return [decode(bytes(row.value)) for row in rows]  # type: ignore[misc]


async def publish(service: Living, events: list[Event[Any]]) -> None:
    async with service.database.begin() as unit:
        for event in events:
            unit.publish(event, key="key")


async def act(service: Living, event: Event[Any]) -> None:
    """What `Chronicle.record` does, for an event that is there already."""
    async with service.database.begin() as unit:
        unit.publish(event, key="key")
        await tell_accounts(SqlTransaction(unit), [event])


async def relay_row(service: Living, topics: Topics, chance: random.Random, *, dies: bool = False) -> bool:
    """Works one outbox row off; False when there was none. A row that is not deleted will come again."""
    rows = await service.rows("SELECT id, payload FROM outbox WHERE queue = 'relay' ORDER BY id")
    if not rows:
        return False
    row = chance.choice(rows)
    try:
        await relay.send(json.loads(bytes(row.payload))["ids"], topics, service.database.engine)
    except ConnectionError:
        return True
    if not dies:
        async with service.database.begin() as unit:
            await unit.connection.execute(text("DELETE FROM outbox WHERE id = :id"), {"id": row.id})
    return True


async def counts(services: dict[str, Living]) -> dict[str, int]:
    (seen,) = await services["enrichment"].rows("""
        SELECT (SELECT coalesce(sum(count), 0) FROM seen WHERE kind = 'ip') AS signins,
               (SELECT count(*) FROM failed_signins) AS failures,
               (SELECT count(*) FROM requests) AS requests,
               (SELECT count(*) FROM ledger) + (SELECT count(*) FROM waiting_requests) AS settled
    """)
    ((lines,),) = await services["recovery"].rows("SELECT count(*) FROM activity")
    return {**seen._mapping, "lines": lines}


IDENTITY_OF: dict[str, set[str]] = {}  # the types that a service handles; set by the test


def test_whatever_crashes_each_effect_is_there_once(postgres_engine: PostgresEngine) -> None:
    with asyncio.Runner() as runner:
        names = ("intake", "enrichment", "notifier", "recovery")
        World.runner = runner
        World.services = {name: runner.run(living(postgres_engine, name)) for name in names}
        for name, service in World.services.items():
            IDENTITY_OF[name] = {type_ for event in IDENTITY_EVENTS if (type_ := event.type_name()) in service.handlers}
        try:
            run_state_machine_as_test(
                World,
                settings=settings(
                    max_examples=20,
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    phases=[Phase.reuse, Phase.generate],  # shrinking takes minutes at a second an example
                ),
            )
        finally:
            for service in World.services.values():
                runner.run(service.database.engine.dispose())
