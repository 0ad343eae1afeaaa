"""The shuffler and the duplicator: bounded, complete, and no more careless than what they stand in front of."""

from __future__ import annotations

import asyncio
import base64
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import USAGE, CommandError
from deploy.local.environment import require_settings
from deploy.local.overrides import Overrides
from shared.kit.messaging.consumer import Record, Stopping
from shared.kit.settings import DISORDER_REFUSED, SettingsError
from shared.kit.testing.duplicator import Duplicator
from shared.kit.testing.shuffler import Shuffler
from tests.integration.kit.conftest import ToySettings


class FakeKafka:
    """Acknowledges at once, or refuses."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.error: Exception | None = None

    async def publish(self, message: bytes, topic: str, **_: Any) -> asyncio.Future[Any]:
        self.sent.append(message)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(topic)
        return future


async def publish(shuffler: Shuffler, *numbers: int) -> list[asyncio.Future[Any]]:
    return [
        await shuffler.publish(str(number).encode(), "t", key=b"k", headers={}, no_confirm=True) for number in numbers
    ]


@pytest.mark.parametrize("seed", range(5))
async def test_every_message_is_sent_twice_and_out_of_order_within_the_window(seed: int) -> None:
    kafka, window = FakeKafka(), 8
    shuffler = Shuffler(kafka, window, random.Random(seed))
    await asyncio.gather(*await publish(shuffler, *range(100)))
    async with asyncio.timeout(5):
        while len(kafka.sent) < 200:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert Counter(kafka.sent) == {str(number).encode(): 2 for number in range(100)}
    order = [int(message) for message in kafka.sent]
    assert order != sorted(order)
    firsts = list(dict.fromkeys(order))
    # Held at most so long: chance, or being overtaken too often, releases it.
    assert all(firsts.index(number) - number < window * 6 for number in range(100))
    assert all(number - firsts.index(number) <= window for number in range(100))


async def test_a_message_counts_as_published_when_its_first_copy_was_acknowledged() -> None:
    kafka = FakeKafka()
    shuffler = Shuffler(kafka, 8, random.Random(1))
    (future,) = await publish(shuffler, 1)
    assert not future.done()
    assert kafka.sent == []
    assert await future == "t"
    kafka.error = ConnectionError()
    (future,) = await publish(shuffler, 2)
    with pytest.raises(ConnectionError):
        await future


@dataclass
class FakeRecord:
    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


_batches = st.lists(st.lists(st.sampled_from([("t", 0), ("t", 1), ("u", 0)]), max_size=6), max_size=6)


@given(batches=_batches, window=st.integers(1, 10), seed=st.integers())
def test_every_record_comes_twice_at_least_and_in_the_order_of_its_partition(
    batches: list[list[tuple[str, int]]], window: int, seed: int
) -> None:
    processed: list[list[Record]] = []

    async def process(records: Sequence[Record]) -> None:
        processed.append(list(records))

    duplicator = Duplicator(process, window, random.Random(seed))
    offsets: Counter[tuple[str, int]] = Counter()
    sent = []
    for batch in batches:
        records: list[Record] = []
        for topic, partition in batch:
            records.append(FakeRecord(topic, partition, offsets[topic, partition]))
            offsets[topic, partition] += 1
        asyncio.run(duplicator(records))
        sent += records
    times = Counter((r.topic, r.partition, r.offset) for delivery in processed for r in delivery)
    assert all(times[r.topic, r.partition, r.offset] >= 2 for r in sent)
    for delivery in processed:
        for place in {(r.topic, r.partition) for r in delivery}:
            found = [r.offset for r in delivery if (r.topic, r.partition) == place]
            assert found == sorted(found)


@pytest.mark.parametrize("stops_at", [1, 2])
async def test_a_consumer_that_stops_stops_there(stops_at: int) -> None:
    passes = 0

    async def process(records: Sequence[Record]) -> None:
        nonlocal passes
        passes += 1
        if passes == stops_at:
            raise Stopping

    with pytest.raises(Stopping):
        await Duplicator(process, 4, random.Random(1))([FakeRecord("t", 0, 0)])


def test_production_refuses_disorder() -> None:
    environ = {
        "READMIT_TOY_DATABASE_URL": "postgresql:///x",
        "READMIT_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "READMIT_HASH_KEY": base64.b64encode(b"k" * 32).decode(),
        "READMIT_DISORDER_WINDOW": "8",
    }
    with pytest.raises(SettingsError) as refused:
        ToySettings.load(environ)
    assert str(refused.value) == DISORDER_REFUSED
    assert ToySettings.load(environ | {"READMIT_ENVIRONMENT": "test"}).disorder_window == 8


@pytest.mark.parametrize("name", ["READMIT_DISORDER_WINDOW", "READMIT_AUDIT_DISORDER_WINDOW"])
def test_up_refuses_before_it_starts_anything(name: str) -> None:
    with pytest.raises(CommandError, match="READMIT_DISORDER_WINDOW is for tests") as refused:
        require_settings(Overrides({name: "8"}), demo=True)
    assert refused.value.exit_code == USAGE
    require_settings(Overrides({name: "8", "READMIT_ENVIRONMENT": "test"}), demo=True)
