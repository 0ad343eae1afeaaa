"""Keep what is known of accounts up to date with what the identity platform and recovery report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.enrichment.domain.accounts import patches
from services.enrichment.domain.milestones import RECOVERY_EVENTS, Milestone, MilestoneKind, milestones
from services.enrichment.domain.signins import HashAddress, SigninSums, sums
from services.enrichment.ports import Geography, Projections
from shared.schemas.envelope import Event

SIGNINS_FEED = "signins"
RECOVERY_FEED = "recovery"


@dataclass(frozen=True, slots=True)
class ProjectEvents:
    """Adds events to the projections: any order ends in the same rows. Each event must come once (the inbox)."""

    locate: Geography
    hash_address: HashAddress

    async def __call__(self, events: Sequence[Event[Any]], projections: Projections) -> None:
        """A handful of statements however many events."""
        changed = patches(events)
        signins = sums(events, self.locate, self.hash_address)
        reached = [*milestones(events).values(), *_last_signins(signins)]
        if changed:
            await projections.merge_accounts(changed)
        if reached:
            await projections.merge_milestones(sorted(reached, key=lambda one: (one.account_id, one.kind)))
        await projections.add_signins(signins)
        if signins.first_at is not None:
            await projections.feed_began(SIGNINS_FEED, signins.first_at)
        if recovery := [event.time for event in events if isinstance(event, RECOVERY_EVENTS)]:
            await projections.feed_began(RECOVERY_FEED, min(recovery))

    async def record(self, requests: Sequence[Event[Any]], projections: Projections) -> None:
        """Record requests, suppressed ones too: later ones are told of them."""
        if requests:
            await projections.add_requests([(event, self.locate(event.data.ip).network_label) for event in requests])


def _last_signins(signins: SigninSums) -> list[Milestone]:
    return [
        Milestone(account_id, MilestoneKind.SIGNIN, version, seen.at, seen.model_dump(mode="json", exclude_none=True))
        for account_id, (version, seen) in signins.last.items()
    ]
