"""None and unknown are different answers; what is missing is said, and stops nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.schemas.enrichment import AccountContext, FactState
from tests.integration.enrichment.conftest import Running
from tests.unit.enrichment.builders import BERLIN, a_name, an_account, asked, before, signed_in


async def context(service: Running, account_id: str) -> AccountContext:
    response = await service.context(account_id)
    assert response.status_code == 200
    assert response.json()["account_id"] == account_id
    return AccountContext.model_validate(response.json()["context"])


async def test_unknown_becomes_none_with_the_first_sign_in_of_anybody(empty_service: Running) -> None:
    name, other, now = a_name(), a_name(), datetime.now(UTC)
    await empty_service.project(an_account(name, before(now, days=5)))
    facts = await context(empty_service, name)
    assert (facts.account_exists.value, facts.two_factor_enabled.value) == (True, True)
    for fact in (facts.last_successful_signin, facts.signin_locations, facts.failed_signins):
        assert (fact.state, fact.why) == (FactState.UNKNOWN, "no sign-in data received")
    assert facts.access_email_last_sent.state is FactState.NONE

    await empty_service.project(signed_in(other, before(now, days=2)))
    await empty_service.project(signed_in(other, before(now, days=3)), signed_in(other, before(now, days=1)))
    facts = await context(empty_service, name)
    for later in (facts.last_successful_signin, facts.signin_locations, facts.failed_signins):
        assert (later.state, later.since) == (FactState.NONE, before(now, days=3))

    assert facts.password_last_changed.since == before(now, days=3)


async def test_without_geoip_locations_are_unknown_and_health_says_so(empty_service: Running) -> None:
    name, now = a_name(), datetime.now(UTC)
    await empty_service.project(an_account(name, now), signed_in(name, before(now, days=1), BERLIN))
    request = asked(f"{name}@example.org", now, "5.146.0.77")
    await empty_service.send(request)
    event = await empty_service.enriched(request.data.reference_id)
    about = event.data.request
    assert about.location.why == "no GeoIP City database is configured (READMIT_GEOIP_CITY)"
    assert about.network_used_before.value is not None
    assert about.network_used_before.value.used is True  # the same /24
    assert event.data.cautions == ()
    assert event.data.context is not None
    assert event.data.context.signin_locations.state is FactState.UNKNOWN
    networks = event.data.context.signin_networks.value
    assert networks is not None
    assert networks[0].label == "5.146.0.0/24"
    ready = await empty_service.client.get("/health/ready")
    assert (ready.status_code, set(ready.json()["notes"])) == (200, {"GeoIP City", "GeoIP ASN"})


async def test_the_context_is_for_those_who_recover(empty_service: Running) -> None:
    name = a_name("with/slash and space")
    await empty_service.project(an_account(name, datetime.now(UTC), email=""))
    assert (await context(empty_service, name)).account_exists.value is True
    path = f"/v1/accounts/{name}/context"
    assert (await empty_service.client.get(path)).status_code == 401
    assert (await empty_service.context(name, "readmit.audit")).status_code == 403
    for unknown in ("nobody", "%00"):
        missing = await empty_service.context(unknown)
        assert missing.status_code == 404
        assert missing.headers["content-type"] == "application/problem+json"
    document = (await empty_service.client.get("/openapi.json")).json()
    assert any(path.endswith("/context") for path in document["paths"])
