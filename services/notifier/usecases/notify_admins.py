"""Settle who is told of a request, and queue one message for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.notifier.domain.delivery import FALLBACK, Told, message_id
from services.notifier.domain.flooding import WINDOW, RecentlyTold, end_of_hour, way_to_tell
from services.notifier.ports import LATER, MAIL, NewDelivery, OpenRequest, Progress, Work
from shared.kit.clock import Clock, NewId
from shared.schemas.action import service_actor
from shared.schemas.enrichment import AssistanceEnriched, Match
from shared.schemas.notifier import NobodyEligible, NobodyEligibleData, Via

SOURCE = "/readmit/notifier"
ACTOR = service_actor("notifier")

# Requests and accounts come by different topics, and nothing orders them. An account that was accepted just before the
# request may arrive just after it, so "nobody" is believed after this many looks, or later while accounts are behind.
CHECKS = 2
PAUSE = timedelta(milliseconds=300)
LONGEST_WAIT = timedelta(seconds=60)
# While a backlog of account events is worked off, as after a start, those found may have been revoked since.
LONGEST_WAIT_FOR_MORE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class NotificationPolicy:
    """The organisation's choices."""

    level: int
    max_per_hour: int
    fallback_email: str | None
    message_id_key: bytes
    message_id_domain: str


class NotifyAdmins:
    """Decides in the transaction that it is given; what it decides is queued there."""

    def __init__(self, policy: NotificationPolicy, progress: Progress, clock: Clock, new_id: NewId) -> None:
        self._policy = policy
        self._progress = progress
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, event: AssistanceEnriched, work: Work) -> None:
        """Take in a request."""
        now = self._clock()
        told = Told(event.data, event.traceparent)
        if await work.requests.keep(told, now):
            await self._resolve(OpenRequest(told, now), 0, work)

    async def check_again(self, reference_id: str, checks: int, work: Work) -> None:
        """Look again whether somebody is eligible by now."""
        request = await work.requests.open(reference_id)
        if request is not None:
            await self._resolve(request, checks, work)

    async def _resolve(self, request: OpenRequest, checks: int, work: Work) -> None:
        told = request.told
        accounts = await work.accounts.of_level(self._policy.level)
        admins = [account.account_id for account in accounts if account.why_not_told(self._policy.level) is None]
        if await self._worth_waiting(request, checks, found=bool(admins)):
            job = {"reference_id": told.reference_id, "checks": checks + 1}
            work.unit.enqueue(LATER, job, not_before=self._clock() + PAUSE)
            if checks == 0:
                await work.requests.postpone(told.reference_id)
            return
        if checks:
            await work.requests.settle(told.reference_id)
        if not admins:
            self._publish_nobody(told, work)
            admins = [FALLBACK] if self._policy.fallback_email else []
        await self._queue(told, admins, work)

    async def _worth_waiting(self, request: OpenRequest, checks: int, *, found: bool) -> bool:
        waited = self._clock() - request.kept_at
        if waited >= (LONGEST_WAIT_FOR_MORE if found else LONGEST_WAIT):
            return False
        if found:
            return await self._progress.catching_up()
        return checks < CHECKS or await self._progress.lag() != 0

    def _publish_nobody(self, told: Told, work: Work) -> None:
        event = NobodyEligible(
            id=self._new_id(),
            source=SOURCE,
            time=self._clock(),
            subject=told.data.subject,
            traceparent=told.traceparent,
            data=NobodyEligibleData(
                reference_id=told.reference_id,
                actor=ACTOR,
                subject=told.data.subject,
                fallback=self._policy.fallback_email is not None,
            ),
        )
        work.unit.publish(event, key=told.reference_id)

    async def _queue(self, told: Told, admins: Sequence[str], work: Work) -> None:
        now = self._clock()
        ways = await self._ways(told, admins, work)
        at_once = [
            NewDelivery(
                id=self._new_id(),
                admin=admin,
                via=Via.MESSAGE,
                message_id=message_id(
                    self._policy.message_id_key, told.reference_id, admin, domain=self._policy.message_id_domain
                ),
                reference_ids=(told.reference_id,),
            )
            for admin in admins
            if ways[admin] is Via.MESSAGE
        ]
        for delivery_id in await work.deliveries.add(at_once, now):
            work.unit.enqueue(MAIL, {"delivery_id": delivery_id})
        later = [admin for admin in admins if ways[admin] is Via.DIGEST]
        due_at = end_of_hour(now)
        for admin in await work.requests.collect(told.reference_id, later, due_at, now):
            work.unit.enqueue(LATER, {"admin": admin, "due_at": due_at.isoformat()}, not_before=due_at)

    async def _ways(self, told: Told, admins: Sequence[str], work: Work) -> dict[str, Via]:
        limit = self._policy.max_per_hour
        if limit == 0 or not admins:
            return dict.fromkeys(admins, Via.MESSAGE)
        subject = told.data.resolved.account_id if told.data.resolved else None
        recent = await work.requests.recently_told(admins, subject, self._clock() - WINDOW)
        matched = told.data.match is Match.EXACT
        return {
            admin: way_to_tell(matched=matched, recent=recent.get(admin, RecentlyTold()), limit=limit)
            for admin in admins
        }
