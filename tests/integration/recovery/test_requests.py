"""The queue of assistance requests, and how an action finds the request that it is about."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from services.recovery.adapters.store import SqlTransaction
from shared.kit.addresses import AddressHasher
from shared.kit.clock import uuid7
from shared.schemas import reference
from shared.schemas.enrichment import (
    AddressKind,
    AssistanceEnriched,
    AssistanceEnrichedData,
    Fact,
    Match,
    RequestContext,
    ResolvedAccount,
)
from shared.schemas.identity import AccountData
from shared.schemas.intake import (
    AssistanceRequested,
    AssistanceRequestedData,
    AssistanceSuppressed,
    AssistanceSuppressedData,
    Issue,
    SuppressionReason,
)
from tests.integration.recovery.desk import Recovery


async def submit(
    recovery: Recovery,
    target: AccountData | None,
    *,
    age: timedelta = timedelta(),
    suppressed: bool = False,
    enriched_first: bool = False,
) -> str:
    """A request as intake and enrichment tell of it; returns its reference."""
    ref, at = reference.generate(secrets.randbits), datetime.now(UTC) - age
    email = target.email if target else f"{secrets.token_hex(4)}@example.org"
    hashed = AddressHasher(recovery.settings.hash_key)(email)
    values: dict[str, Any] = {
        "reference_id": ref, "actor": "anonymous", "email": email, "email_hash": hashed, "issue": Issue.LOST_2FA,
        "requested_at": at, "ip": "192.0.2.1",
    }  # fmt: skip
    common: dict[str, Any] = {"source": "/readmit/intake", "time": at}
    requested: AssistanceRequested | AssistanceSuppressed
    if suppressed:
        data = AssistanceSuppressedData(**values, reason=SuppressionReason.ADDRESS_LIMIT)
        requested = AssistanceSuppressed(id=uuid7(), data=data, **common)
    else:
        requested = AssistanceRequested(id=uuid7(), data=AssistanceRequestedData(**values), **common)
    context = RequestContext(
        email=email, email_hash=hashed, issue=Issue.LOST_2FA, requested_at=at, submitted_by="anonymous",
        ip="192.0.2.1", address_kind=AddressKind.DOCUMENTATION, location=Fact.unknown(), network=Fact.unknown(),
        ip_used_before=Fact.unknown(), network_used_before=Fact.unknown(), earlier_requests=Fact.unknown(),
    )  # fmt: skip
    resolved = None
    if target is not None:
        resolved = ResolvedAccount(
            account_id=target.account_id, display_name=target.display_name, email=target.email, status=target.status
        )
    enriched = AssistanceEnriched(
        id=uuid7(),
        source="/readmit/enrichment",
        time=at,
        data=AssistanceEnrichedData(
            reference_id=ref,
            actor="service:enrichment",
            subject=target.account_id if target else None,
            match=Match.EXACT if target else Match.NONE,
            resolved=resolved,
            request=context,
        ),
    )
    async with recovery.plumbing.database.begin() as unit:
        tx, project = SqlTransaction(unit), recovery.use_cases.requests
        if enriched_first:
            await project.enriched(enriched, tx)
        await project.requested(requested, tx)
        if not suppressed and not enriched_first:
            await project.enriched(enriched, tx)
    return ref


async def test_the_queue_in_either_order_of_arrival(recovery: Recovery) -> None:
    admin, target = await recovery.expert(), await recovery.account()
    refs = [
        await submit(recovery, target),
        await submit(recovery, target, enriched_first=True),
        await submit(recovery, target, suppressed=True),
        await submit(recovery, None),
    ]
    queue = (await recovery.call("GET", "/v1/requests?state=open", admin)).json()["requests"]
    by_ref = {item["reference_id"]: item for item in queue}
    assert [by_ref[ref]["account_id"] for ref in refs] == [target.account_id, target.account_id, None, None]
    assert [by_ref[ref]["suppressed"] for ref in refs] == [False, False, True, False]
    assert queue == sorted(queue, key=lambda item: str(item["requested_at"]), reverse=True)
    page = (await recovery.call("GET", "/v1/requests?limit=1", admin)).json()
    following = (await recovery.call("GET", f"/v1/requests?limit=1&cursor={page['next']}", admin)).json()
    assert page["requests"] + following["requests"] == queue[:2]
    assert (await recovery.call("GET", "/v1/requests?state=shut", admin)).status_code == 422


async def test_claim_and_close(recovery: Recovery) -> None:
    admin, other, target = await recovery.expert(), await recovery.expert(), await recovery.account()
    ref = await submit(recovery, target)
    claimed = await recovery.call("POST", f"/v1/requests/{ref.lower()}/claim", admin)
    assert claimed.status_code == 200
    assert claimed.json()["claimed_by"] == admin.account_id
    assert (await recovery.call("POST", f"/v1/requests/{ref}/claim", admin)).status_code == 200
    assert (await recovery.call("POST", f"/v1/requests/{ref}/claim", other)).status_code == 409
    bad = await recovery.call("POST", f"/v1/requests/{ref}/close", admin, {"outcome": "done"})
    assert bad.status_code == 422
    closed = await recovery.call("POST", f"/v1/requests/{ref}/close", admin, {"outcome": "not-genuine", "note": "no"})
    assert closed.json()["state"] == "closed"
    assert closed.json()["outcome"] == "not-genuine"
    for path, body in (("close", {"outcome": "resolved"}), ("claim", None)):
        assert (await recovery.call("POST", f"/v1/requests/{ref}/{path}", admin, body)).status_code == 409
        for unknown in ("RA-0000-0000-0", "nonsense"):
            answer = await recovery.call("POST", f"/v1/requests/{unknown}/{path}", admin, body)
            assert answer.status_code == 404
    events = await recovery.events(target.account_id)
    assert [event["type"].split(".")[2] for event in events] == ["request-claimed", "request-closed"]
    assert events[1]["data"]["resolution"] == "not-genuine"
    assert events[1]["data"]["note"] == "no"
    # A late enrichment of it opens nothing again.
    shut = (await recovery.call("GET", "/v1/requests?state=closed", admin)).json()["requests"]
    assert ref in [item["reference_id"] for item in shut]


async def test_which_request_an_action_is_about(recovery: Recovery) -> None:
    admin, target, stranger = await recovery.expert(), await recovery.account(), await recovery.account()

    async def taken(**body: str) -> str | None:
        answer = await recovery.send("access-emails", admin, target, **body)
        assert answer.status_code == 202, answer.text
        action = (await recovery.call("GET", f"/v1/actions/{answer.json()['action_id']}", admin)).json()
        reference_id: str | None = action["reference_id"]
        return reference_id

    assert await taken() is None
    await submit(recovery, target, age=timedelta(days=8))
    await submit(recovery, target, suppressed=True)
    assert await taken() is None
    only = await submit(recovery, target)
    assert await taken() == only
    named = await submit(recovery, target)
    assert await taken() is None  # two are open: which of them, only the administrator knows
    assert await taken(reference_id=named.lower()) == named
    never_seen = reference.generate(secrets.randbits)
    assert await taken(reference_id=never_seen) == never_seen
    others = await submit(recovery, stranger)
    refused = await recovery.send("access-emails", admin, target, reference_id=others)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["member"] == "reference_id"
