"""Refusals by window: the first at once, the others as a count."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from services.intake.domain import throttling
from services.intake.domain.client_address import network_of
from services.intake.domain.throttling import RefusalCounter
from shared.schemas.intake import ThrottlingLimit

NOW = datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)
WINDOW = timedelta(minutes=10)
ADDRESS = ip_address("203.0.113.7")


def counter() -> RefusalCounter:
    numbers = itertools.count()
    return RefusalCounter(lambda: f"id-{next(numbers)}")


def refuse(refusals: RefusalCounter, now: datetime, address: str = "203.0.113.7") -> bool:
    place = ip_address(address)
    return refusals.count(ThrottlingLimit.NETWORK, place, network_of(place), "anonymous", now=now, length=WINDOW)


def test_the_first_is_told_at_once_and_the_others_at_the_end() -> None:
    refusals = counter()
    assert refuse(refusals, NOW) is True
    (first,) = refusals.take(NOW)
    assert (first.count, first.address, first.start, first.end) == (1, ADDRESS, NOW, NOW + WINDOW)
    for second in range(1, 8):
        assert refuse(refusals, NOW + timedelta(seconds=second)) is False
    assert refusals.take(NOW + WINDOW - timedelta(seconds=1)) == []
    assert refusals.next_end() == NOW + WINDOW
    (others,) = refusals.take(NOW + WINDOW)
    assert (others.count, others.address, others.start, others.end) == (7, None, NOW, NOW + WINDOW)
    assert others.network == first.network
    assert others.event_id != first.event_id
    assert refusals.take(NOW + 2 * WINDOW) == []


def test_a_window_with_one_refusal_has_nothing_more_to_tell() -> None:
    refusals = counter()
    refuse(refusals, NOW)
    refusals.take(NOW)
    assert refusals.take(NOW + WINDOW) == []
    assert refusals.windows == {}


def test_a_refusal_after_the_end_opens_the_next_window() -> None:
    refusals = counter()
    for moment in (NOW, NOW, NOW + WINDOW):
        refuse(refusals, moment)
    assert [refusal.count for refusal in refusals.take(NOW + WINDOW)] == [1, 1, 1]


def test_a_stop_tells_what_is_there() -> None:
    refusals = counter()
    for _ in range(3):
        refuse(refusals, NOW)
    assert [refusal.count for refusal in refusals.take(NOW, everything=True)] == [1, 2]


def test_what_could_not_be_told_is_told_later_under_the_same_id() -> None:
    refusals = counter()
    refuse(refusals, NOW)
    due = refusals.take(NOW)
    refusals.put_back(due)
    assert refusals.take(NOW) == due


def test_a_flood_from_everywhere_does_not_fill_the_memory() -> None:
    refusals = counter()
    for number in range(throttling.MAX_WINDOWS + 500):
        refuse(refusals, NOW, str(ip_address(0x0B000000 + number)))
    assert len(refusals.windows) == throttling.MAX_WINDOWS + 1
    total = sum(refusal.count for refusal in refusals.take(NOW, everything=True))
    assert total == throttling.MAX_WINDOWS + 500
