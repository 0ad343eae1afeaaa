"""What keeps a flood of requests from burying an administrator's mailbox (contract, section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.schemas.notifier import Via

WINDOW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RecentlyTold:
    """What an administrator was sent within the last hour."""

    messages: int = 0
    of_this_account: bool = False


def way_to_tell(*, matched: bool, recent: RecentlyTold, limit: int) -> Via:
    """At once or in the digest. The first message for a matched account in an hour always goes at once."""
    if limit == 0 or recent.messages < limit or (matched and not recent.of_this_account):
        return Via.MESSAGE
    return Via.DIGEST


def end_of_hour(now: datetime) -> datetime:
    """When what is collected now is told."""
    return now.replace(minute=0, second=0, microsecond=0) + WINDOW
