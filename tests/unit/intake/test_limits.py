"""What the limits admit, counted on a clock of the test's own."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from limits.aio.storage import Storage

from services.intake.adapters.limit_memory import ProcessMemory
from services.intake.adapters.limits import LimitItems, RateLimits, parse_limit, shared_store
from services.intake.domain.client_address import IpAddress, IpNetwork, network_of
from services.intake.domain.submission import Throttled
from services.intake.usecases.admit_request import AdmitRequest
from shared.schemas.intake import SuppressionReason, ThrottlingLimit

HOME, STRANGER = network_of(ip_address("203.0.113.7")), network_of(ip_address("198.51.100.66"))


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def limits(clock: Clock, store: Storage | None = None, **texts: str) -> RateLimits:
    return RateLimits(LimitItems(**{name: parse_limit(text) for name, text in texts.items()}), store, clock=clock)


async def test_a_limit_of_n_admits_n_a_window_and_says_when_to_come_back() -> None:
    clock = Clock()
    limited = limits(clock, network="3 per 10 minutes")
    assert [await limited.network(HOME) for _ in range(3)] == [None] * 3
    clock.now += 100
    assert await limited.network(HOME) == 500
    assert await limited.network(STRANGER) is None
    clock.now += 500
    assert await limited.network(HOME) is None


async def test_a_window_moves_so_its_edge_admits_no_double_share() -> None:
    clock = Clock()
    limited = limits(clock, network="10 per minute")
    clock.now += 59
    for _ in range(10):
        assert await limited.network(HOME) is None
    clock.now += 2  # the next minute of the wall clock
    assert await limited.network(HOME) is not None


async def test_refused_requests_do_not_prolong_the_wait() -> None:
    clock = Clock()
    limited = limits(clock, network="1 per minute")
    assert await limited.network(HOME) is None
    for _ in range(50):
        clock.now += 1
        assert await limited.network(HOME) is not None
    clock.now += 10
    assert await limited.network(HOME) is None


async def test_off_is_off() -> None:
    limited = limits(Clock(), network="", total="", address="", address_total="")
    for _ in range(1000):
        assert await limited.network(HOME) is None
        assert await limited.total() is None
        assert await limited.address("hash", HOME) is None


async def test_a_limit_is_exact_under_concurrency() -> None:
    """CVE-2024-1722: a limit that is read and then written is overrun by whoever asks at once."""
    limited = limits(Clock(), total="100 per second")
    answers = await asyncio.gather(*(limited.total() for _ in range(500)))
    assert answers.count(None) == 100


async def test_a_stranger_on_one_network_cannot_silence_the_person() -> None:
    limited = limits(Clock(), address="3 per hour", address_total="10 per hour")
    for _ in range(3):
        assert await limited.address("hash", STRANGER) is None
    for _ in range(100):
        assert await limited.address("hash", STRANGER) is SuppressionReason.ADDRESS_LIMIT
    assert await limited.address("hash", HOME) is None


async def test_many_networks_use_up_the_total_of_an_address() -> None:
    limited = limits(Clock(), address="3 per hour", address_total="10 per hour")
    networks = [network_of(ip_address(f"198.51.100.{n}")) for n in range(4)]
    reasons = [await limited.address("hash", network) for network in networks for _ in range(3)]
    assert reasons == [None] * 10 + [SuppressionReason.ADDRESS_TOTAL_LIMIT] * 2
    assert await limited.address("other", HOME) is None


async def test_memory_forgets_what_is_over() -> None:
    clock = Clock()
    memory = ProcessMemory(clock)
    for number in range(1000):
        await memory.acquire_entry(f"key {number}", 5, 60)
    assert len(memory) == 1000
    clock.now += 61
    await memory.acquire_entry("another", 5, 60)
    assert len(memory) == 1


class Away(ProcessMemory):
    """A shared store that can't be reached."""

    STORAGE_SCHEME = ["async+test-away"]  # noqa: RUF012
    asked = 0

    async def acquire_entry(self, *_: Any, **__: Any) -> bool:
        self.asked += 1
        raise ConnectionError


async def test_without_the_shared_store_each_process_counts_alone() -> None:
    clock, store = Clock(), Away()
    limited = limits(clock, store, total="2 per minute")
    assert [await limited.total() for _ in range(3)] == [None, None, 60]
    assert store.asked == 1  # it is left alone for a while, so that nobody waits for it
    clock.now += 6
    await limited.total()
    assert store.asked == 2


class Passing(ProcessMemory):
    """A shared store that goes away."""

    STORAGE_SCHEME = ["async+test-passing"]  # noqa: RUF012
    away = False

    async def acquire_entry(self, *arguments: Any, **options: Any) -> bool:
        if self.away:
            raise ConnectionError
        return await super().acquire_entry(*arguments, **options)


async def test_counting_alone_goes_on_from_what_was_admitted_before() -> None:
    clock = Clock()
    store = Passing(clock)
    limited = limits(clock, store, total="3 per minute")
    assert [await limited.total() for _ in range(2)] == [None, None]
    store.away = True
    assert [await limited.total() for _ in range(2)] == [None, 60]


@pytest.mark.parametrize("url", ["http://h:1", "memory://", "redis://", "localhost:6379", ""])
def test_only_a_valkey_or_redis_is_a_shared_store(url: str) -> None:
    with pytest.raises(ValueError, match="valkey"):
        shared_store(url)


@pytest.mark.parametrize("text", ["10", "ten per minute", "10 per fortnight"])
def test_a_limit_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_limit(text)


async def test_what_a_network_is_refused_does_not_use_up_the_total() -> None:
    """One network could shut everybody out otherwise."""
    refused: list[tuple[ThrottlingLimit, IpNetwork]] = []

    def note(limit: ThrottlingLimit, address: IpAddress, network: IpNetwork, actor: str) -> None:
        refused.append((limit, network))

    admit = AdmitRequest(limits(Clock(), network="2 per minute", total="5 per minute"), note)
    for _ in range(2):
        await admit(ip_address("203.0.113.7"), "anonymous")
    for _ in range(20):
        with pytest.raises(Throttled) as error:
            await admit(ip_address("203.0.113.7"), "anonymous")
        assert error.value.limit is ThrottlingLimit.NETWORK
    for number in range(3):
        await admit(ip_address(f"198.51.100.{number}"), "anonymous")
    with pytest.raises(Throttled) as error:
        await admit(ip_address("192.0.2.1"), "anonymous")
    assert error.value.limit is ThrottlingLimit.TOTAL
    assert refused == [(ThrottlingLimit.NETWORK, HOME)] * 20 + [(ThrottlingLimit.TOTAL, ip_network("192.0.2.1/32"))]
