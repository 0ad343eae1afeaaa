"""Where generated events are gathered: numbering, ordering and the CloudEvents envelope."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deploy.demo.organisation import SOURCE
from deploy.demo.seed import LIVE_PREFIX, timestamp

TYPE_PREFIX = "readmit.identity."


@dataclass
class Timeline:
    """Events in any order; `events` sorts and numbers them."""

    _entries: list[tuple[datetime, bool, str, dict[str, Any]]] = field(default_factory=list)

    def add(self, time: datetime, kind: str, data: dict[str, Any], *, live: bool = False) -> None:
        """Record an event of type `readmit.identity.<kind>.v1`; `live` ones keep their distance to now."""
        self._entries.append((time, live, kind, data))

    def events(self) -> list[dict[str, Any]]:
        """All events as CloudEvents, oldest first, ordinary ones before live ones at the same time."""
        counters = {True: 0, False: 0}
        events = []
        for time, live, kind, data in sorted(self._entries, key=lambda entry: (entry[0], entry[1])):
            counters[live] += 1
            event: dict[str, Any] = {
                "specversion": "1.0",
                "id": f"{LIVE_PREFIX if live else 'history-'}{counters[live]:05d}",
                "source": SOURCE,
                "type": f"{TYPE_PREFIX}{kind}.v1",
                "time": timestamp(time),
            }
            if "account_id" in data:
                event["subject"] = data["account_id"]
            event["datacontenttype"] = "application/json"
            event["data"] = data
            events.append(event)
        return events
