"""Resolve a request to an account, work out what is known about both, and publish it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.enrichment.domain.accounts import Account, match_of
from services.enrichment.domain.cautions import Circumstances, cautions
from services.enrichment.domain.facts import NO_ACCOUNT, SEVERAL_ACCOUNTS, account_context, request_context
from services.enrichment.ports import (
    AccountsByAddress,
    AllHashes,
    Enrichments,
    Facts,
    Freshness,
    Geography,
)
from shared.kit.clock import Clock
from shared.schemas.action import service_actor
from shared.schemas.enrichment import AssistanceEnriched, AssistanceEnrichedData, Match, ResolvedAccount
from shared.schemas.intake import AssistanceRequested

SOURCE = "/readmit/enrichment"
PATIENCE = timedelta(milliseconds=300)
"""How long an event that was accepted before a request may take to get here after it (they have different topics)."""

# Any constant: with it an enriched event has the same id each time its request is processed.
_NAMESPACE = uuid.UUID("6f1c1f0e-3c52-4c0d-9a0e-5f0f6f4b2d11")


def enriched_id(request: AssistanceRequested) -> str:
    """Give the id of the event that a request is enriched into: always the same one (a replay is a duplicate)."""
    return str(uuid.uuid5(_NAMESPACE, f"{request.source} {request.id}"))


@dataclass(frozen=True, slots=True)
class EnrichRequest:
    """Enriches requests at once where that can be right, and puts the others aside for a moment."""

    locate: Geography
    all_hashes: AllHashes
    is_fresh: Freshness
    clock: Clock

    async def __call__(self, requests: Sequence[AssistanceRequested], facts: Facts, out: Enrichments) -> None:
        """Enrich each request, or have it wait.

        Topics have no common order: the account, or a change of it, may have been accepted before the request and
        arrive after it. So a request waits while identity events are known to be on their way, and, because one may
        still be between intake and the broker, when its address matches nothing.
        """
        fresh = await self.is_fresh()
        waiting = []
        for request in requests:
            found = await facts.accounts_by_address(request.data.email)
            if fresh and found.exact:
                await self._enrich(request, found, facts, out)
            else:
                waiting.append(request)
        if waiting:
            await out.wait(waiting, due_at=self.clock() + PATIENCE)

    async def after_waiting(self, request: AssistanceRequested, facts: Facts, out: Enrichments) -> None:
        """Enrich a request with whatever is known now."""
        await self._enrich(request, await facts.accounts_by_address(request.data.email), facts, out)

    async def _enrich(
        self, request: AssistanceRequested, found: AccountsByAddress, facts: Facts, out: Enrichments
    ) -> None:
        data, origin = request.data, self.locate(request.data.ip)
        match, account = match_of(found.exact)
        account_id = None if account is None else account.account_id
        hashes = {data.email_hash, *self.all_hashes(data.email)}
        earlier = await facts.earlier(request, hashes=hashes, account_id=account_id)
        snapshot = None
        if account is not None:
            snapshot = await facts.snapshot(account, as_of=data.requested_at, origin=origin)
            await out.resolved({data.reference_id: account.account_id})
        circumstances = Circumstances(
            data.email, data.requested_at, origin, earlier, tuple(found.look_alikes), snapshot
        )
        why = SEVERAL_ACCOUNTS if match is Match.AMBIGUOUS else NO_ACCOUNT
        enriched = AssistanceEnrichedData(
            reference_id=data.reference_id,
            actor=service_actor("enrichment"),
            subject=account_id,
            match=match,
            resolved=None if account is None else _resolved(account),
            request=request_context(data, origin, earlier, snapshot, why_no_account=why),
            context=None if snapshot is None else account_context(snapshot),
            cautions=cautions(circumstances),
        )
        out.publish(
            AssistanceEnriched(
                id=enriched_id(request),
                source=SOURCE,
                time=self.clock(),
                subject=account_id,
                traceparent=request.traceparent,
                data=enriched,
            )
        )


def _resolved(account: Account) -> ResolvedAccount:
    return ResolvedAccount(
        account_id=account.account_id,
        display_name=account.display_name,
        email=account.email,
        status=account.status,
        locale=account.locale,
        time_zone=account.time_zone,
    )
