"""Three months of plausible sign-in, failure and credential-change history of the demo organisation.

`python -m deploy.demo.seed` writes the committed `history.jsonl` (a fixed seed: the same bytes each time). Because a
demo must look recent, `path` gives a copy that ends just before now.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

HISTORY = Path(__file__).with_name("history.jsonl")
# The moment the committed file calls "now": a Monday, 00:00 UTC.
ANCHOR = datetime(2026, 11, 2, tzinfo=UTC)
# Ids of events that happen in the last hours before now, whatever the weekday (attacks, the final state of accounts).
LIVE_PREFIX = "live-"
# Kept from now, because an event whose `time` lies ahead of intake's clock would be refused.
_MARGIN = timedelta(seconds=20)


def path(demo_dir: Path, now: datetime) -> Path:
    """Return the history shifted to end just before `now`, written at first use and kept.

    Ordinary events move by whole weeks, so that working hours and weekends stay where they are; live ones move by
    the exact difference. Ids stay the same: importing the copy twice has no effect.
    """
    target = demo_dir / "history.jsonl"
    if not target.exists():
        demo_dir.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(f".{os.getpid()}.tmp")
        unfinished.write_text("".join(line + "\n" for line in _shifted(now)), encoding="utf-8")
        unfinished.replace(target)
    return target


def _shifted(now: datetime) -> Iterator[str]:
    end = now.astimezone(UTC) - _MARGIN
    exact = end - ANCHOR
    weeks = timedelta(weeks=exact // timedelta(weeks=1))
    lines: list[tuple[datetime, str]] = []
    with HISTORY.open(encoding="utf-8") as file:
        for line in file:
            event = json.loads(line)
            time = datetime.fromisoformat(event["time"]) + (exact if event["id"].startswith(LIVE_PREFIX) else weeks)
            if time <= end:
                event["time"] = timestamp(time)
                lines.append((time, json.dumps(event, ensure_ascii=False, separators=(",", ":"))))
    lines.sort(key=lambda item: item[0])
    return (line for _, line in lines)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
