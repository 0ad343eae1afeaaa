"""Refused requests, counted by window: the first is told at once, the others together at the window's end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.intake.domain.client_address import IpAddress, IpNetwork
from shared.kit.clock import NewId
from shared.schemas.action import ANONYMOUS
from shared.schemas.intake import ThrottlingLimit

# A flood from many networks would otherwise fill the memory; windows beyond this are counted in one without a network.
MAX_WINDOWS = 10_000

Place = tuple[ThrottlingLimit, IpNetwork | None]


@dataclass(frozen=True, slots=True)
class Refusals:
    """Refused requests of one kind in one window."""

    limit: ThrottlingLimit
    network: IpNetwork | None
    address: IpAddress | None
    actor: str
    start: datetime
    end: datetime
    count: int
    event_id: str
    """Fixed here, so that telling twice has one effect."""


@dataclass(slots=True)
class _Window:
    start: datetime
    end: datetime
    others: int = 0


@dataclass
class RefusalCounter:
    """Counts refusals; what is due to be told is taken out of it."""

    new_id: NewId
    windows: dict[Place, _Window] = field(default_factory=dict)
    _due: list[Refusals] = field(default_factory=list)

    def count(
        self,
        limit: ThrottlingLimit,
        address: IpAddress | None,
        network: IpNetwork | None,
        actor: str,
        *,
        now: datetime,
        length: timedelta,
    ) -> bool:
        """Counts one refusal; True when there is something to tell at once."""
        place: Place = (limit, network)
        window = self.windows.get(place)
        if window is not None and now >= window.end:
            self._close(place, window)
            window = None
        if window is None and len(self.windows) >= MAX_WINDOWS:
            place, address, network = (limit, None), None, None
            window = self.windows.get(place)
        if window is None:
            self.windows[place] = _Window(now, now + length)
            self._due.append(Refusals(limit, network, address, actor, now, now + length, 1, self.new_id()))
            return True
        window.others += 1
        return False

    def take(self, now: datetime, *, everything: bool = False) -> list[Refusals]:
        """What is due: first refusals, and the counts of windows that are over (of all, when the process stops)."""
        for place, window in list(self.windows.items()):
            if everything or now >= window.end:
                self._close(place, window)
        due, self._due = self._due, []
        return due

    def put_back(self, refusals: list[Refusals]) -> None:
        """What could not be told is due again."""
        self._due[:0] = refusals

    def next_end(self) -> datetime | None:
        """When the next window ends."""
        return min((window.end for window in self.windows.values()), default=None)

    def _close(self, place: Place, window: _Window) -> None:
        del self.windows[place]
        if window.others:
            limit, network = place
            end, others = window.end, window.others
            self._due.append(Refusals(limit, network, None, ANONYMOUS, window.start, end, others, self.new_id()))
