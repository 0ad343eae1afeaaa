"""Named places at which a test has the process die, fail or dawdle (DESIGN section 5).

Nothing is armed unless `READMIT_FAILPOINTS` says so, and settings refuse that unless `READMIT_ENVIRONMENT=test`.
Without it a failpoint is one look at a variable that is None. The setting names places and what is to happen there:

    READMIT_FAILPOINTS=intake.request.before-answer=kill,audit.append.mid-batch=raise@3,notifier.mail.before-data=sleep:2

`kill` is SIGKILL to this process, `raise` a `FailpointReached`, `sleep:S` a pause of so many seconds; `@N` has it
happen at the Nth pass only. Passes are counted by the process. With `READMIT_FAILPOINTS_DIR` each place acts once
altogether: a file of its name there says that it did, so the process that is started after the killed one lives.
Whoever deletes that file arms the place again.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.kit.logging import get_logger

log = get_logger(__name__)

_ALL = frozenset({"intake", "enrichment", "notifier", "recovery", "audit"})
_CONSUMERS = _ALL - {"intake"}

# The kit's places are in each of these services; settings call them by service, as in `audit.relay.before-delete`.
KIT: Mapping[str, frozenset[str]] = {
    "consumer.after-fetch": _CONSUMERS,
    "consumer.mid-transaction": _CONSUMERS - {"audit"},  # audit has a processor of its own
    "consumer.before-offset-commit": _CONSUMERS,
    "consumer.during-rebalance": _CONSUMERS,
    "unit.before-commit": _ALL,
    "relay.before-delete": _ALL,  # Kafka acknowledged, the outbox row is still there
    "mail.before-data": frozenset({"notifier", "recovery"}),
    "mail.after-final-dot": frozenset({"notifier", "recovery"}),
}
OWN = frozenset(
    {
        "intake.request.before-insert",
        "intake.request.before-answer",
        "intake.events.before-insert",
        "intake.events.before-answer",
        "notifier.resolution.before",
        "notifier.resolution.after",
        "notifier.mail.after-lease",
        "notifier.mail.before-mark",
        "recovery.issue.mid-transaction",
        "recovery.issue.before-answer",
        "recovery.mail.after-accepted",
        "recovery.redeem.mid-transaction",
        "recovery.redeem.before-answer",
        "audit.append.mid-batch",
        "audit.append.while-signing",
    }
)
NAMES = tuple(sorted(OWN | {f"{service}.{place}" for place, services in KIT.items() for service in services}))

_SPECIFICATION = re.compile(r"(?P<name>[^=]+)=(?P<action>kill|raise|sleep:(?P<seconds>\d+(?:\.\d+)?))(?:@(?P<on>\d+))?")


class FailpointReached(Exception):
    """What `raise` raises: an error of a kind that no code expects."""


@dataclass(slots=True)
class Failpoint:
    """One armed place."""

    name: str
    action: str
    seconds: float = 0.0
    only_pass: int | None = None
    passes: int = 0


def parse(text: str) -> tuple[Failpoint, ...]:
    """Reads what is to be armed.

    Raises:
        ValueError: it is not well-formed, or names a place that is not in the code.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _SPECIFICATION.fullmatch(part)
        if match is None or match["on"] == "0":
            raise ValueError(f"{part!r} is not NAME=kill, NAME=raise or NAME=sleep:SECONDS, each with @N or without")
        if match["name"] not in NAMES:
            raise ValueError(f"there is no {match['name']!r}; there are {', '.join(NAMES)}")
        action, seconds = match["action"].partition(":")[0], float(match["seconds"] or 0)
        found.append(Failpoint(match["name"], action, seconds, int(match["on"]) if match["on"] else None))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Armed:
    points: Mapping[str, Failpoint]  # by the name in the code
    fired: Path | None


_armed: _Armed | None = None


def arm(service: str, points: tuple[Failpoint, ...], fired: Path | None = None) -> None:
    """Arms those of the points that are this service's; none disarms. `fired` is the folder that remembers."""
    global _armed
    mine = {}
    for point in points:
        owner, _, place = point.name.partition(".")
        if owner == service:
            mine[place if place in KIT else point.name] = point
    _armed = _Armed(mine, fired) if mine else None
    if mine:
        log.warning("failpoints.armed", names=[point.name for point in mine.values()])


async def failpoint(name: str) -> None:
    """A place at which a test may stop the process. The kit's have no service in their name."""
    if _armed is None:
        return
    point = _armed.points.get(name)
    if point is None:
        return
    point.passes += 1
    if point.only_pass not in (None, point.passes) or not _first_time(_armed.fired, point.name):
        return
    log.warning("failpoint.reached", point=point.name, action=point.action)
    if point.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if point.action == "raise":
        raise FailpointReached(point.name)
    await asyncio.sleep(point.seconds)


def _first_time(fired: Path | None, name: str) -> bool:
    if fired is None:
        return True
    try:
        # Made before the deed, and by one of all replicas: what is killed can't write afterwards.
        os.close(os.open(fired / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True
