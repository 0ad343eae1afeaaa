"""Event in, enriched event out, on a real broker and a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.schemas.enrichment import AddressKind, CautionCode, FactState, Match
from shared.schemas.identity import AccountStatus
from tests.integration.enrichment.conftest import Running
from tests.unit.enrichment.builders import (
    BERLIN,
    BERLIN_MOBILE,
    BERLIN_TOO,
    TOKYO,
    a_name,
    access_email_sent,
    an_account,
    asked,
    backup_codes_changed,
    before,
    code_sent,
    email_changed,
    failed,
    locked,
    password_changed,
    signed_in,
    two_factor_changed,
)


async def test_a_realistic_history_becomes_all_facts(service: Running) -> None:
    now = datetime.now(UTC)
    name = a_name()
    history = [
        an_account(name, before(now, days=60), locale="de", time_zone="Europe/Berlin"),
        *(signed_in(name, before(now, days=days), BERLIN) for days in (50, 40, 30)),
        signed_in(name, before(now, days=20), BERLIN_TOO),
        signed_in(name, before(now, days=10), BERLIN_MOBILE),
        signed_in(name, before(now, days=120), TOKYO),
        failed(name, before(now, hours=3), BERLIN),
        failed(None, before(now, hours=2), BERLIN, "bad-second-factor", email=f"{name.upper()}@example.org"),
        failed(name, before(now, days=12), TOKYO),
        failed(name, before(now, days=31), TOKYO),
        password_changed(name, before(now, days=45)),
        two_factor_changed(name, "removed", before(now, days=5)),
        backup_codes_changed(name, "used", 2, before(now, days=6)),
        email_changed(name, "old@example.org", f"{name}@example.org", before(now, days=70)),
        access_email_sent(name, before(now, days=3)),
        code_sent(name, before(now, days=2)),
        locked(name, before(now, hours=1)),
    ]
    await service.project(*history)
    request = asked(f"{name.upper()}@Example.org", now, BERLIN)
    await service.send(request)
    event = await service.enriched(request.data.reference_id)

    assert event.subject == event.data.subject == name
    assert event.source == "/readmit/enrichment"
    assert event.data.actor == "service:enrichment"
    assert event.data.match is Match.EXACT
    resolved = event.data.resolved
    assert resolved is not None
    assert (resolved.display_name, resolved.status, resolved.locale) == ("Person One", AccountStatus.LOCKED, "de")
    context = event.data.context
    assert context is not None
    assert context.account_exists.value is True
    assert context.status.value is AccountStatus.LOCKED
    assert context.status.as_of == history[-1].time
    assert context.two_factor_enabled.value is False
    assert context.unused_backup_codes.value == 2
    last = context.last_successful_signin.value
    assert last is not None
    assert (last.at, last.ip, last.method) == (before(now, days=10), BERLIN_MOBILE, "totp")
    assert last.location is not None
    assert (last.location.city, last.location.country_code) == ("Berlin", "DE")
    assert last.network is not None
    assert (last.network.asn, last.network.name) == (64631, "Funkturm Mobil")
    locations = context.signin_locations.value
    assert locations is not None
    assert [(seen.label, seen.count, seen.last_at) for seen in locations] == [
        ("Berlin, Germany", 5, before(now, days=10))
    ]
    networks = context.signin_networks.value
    assert networks is not None
    assert [(seen.label, seen.asn, seen.count) for seen in networks] == [
        ("AS64631 Funkturm Mobil", 64631, 1),
        ("AS64611 Spree Breitband", 64611, 4),
    ]
    failures = context.failed_signins.value
    assert failures is not None
    assert (failures.last_24_hours, failures.last_30_days, failures.last_at) == (2, 3, before(now, hours=2))
    assert [(one.failure, one.count) for one in failures.by_failure] == [("bad-password", 2), ("bad-second-factor", 1)]
    assert context.access_email_last_sent.value == before(now, days=3)
    assert context.recovery_code_last_sent.value == before(now, days=2)
    assert context.password_last_changed.value == before(now, days=45)
    assert context.two_factor_last_changed.value == before(now, days=5)
    assert context.backup_codes_last_changed.value == before(now, days=6)
    assert context.email_last_changed.value == before(now, days=70)

    about = event.data.request
    assert (about.email, about.ip, about.address_kind) == (request.data.email, BERLIN, AddressKind.PUBLIC)
    assert about.location.value is not None
    assert about.location.value.city == "Berlin"
    assert about.network.value is not None
    assert (about.network.value.asn, about.network.value.prefix) == (64611, "5.146.0.0/18")
    assert about.ip_used_before.value is not None
    assert (about.ip_used_before.value.used, about.ip_used_before.value.count) == (True, 3)
    assert about.network_used_before.value is not None
    assert (about.network_used_before.value.used, about.network_used_before.value.count) == (True, 4)
    assert about.earlier_requests.state is FactState.NONE
    assert [caution.code for caution in event.data.cautions] == [
        CautionCode.FAILED_SIGNINS,
        CautionCode.RECENT_CHANGES,
    ]
