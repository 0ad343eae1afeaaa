"""What is matched, what is waited for, what is not enriched, and what happens with what can't be read."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from services.enrichment.bootstrap import GROUP
from shared.schemas.enrichment import AddressKind, AssistanceEnriched, CautionCode, FactState, Match
from shared.schemas.topics import Topic, dead_letter_topic
from tests.integration.enrichment.conftest import Running, wait_for
from tests.unit.enrichment.builders import (
    AMSTERDAM,
    BERLIN,
    LONDON,
    TOKYO,
    a_name,
    an_account,
    asked,
    before,
    email_changed,
    failed,
    removed,
    signed_in,
    suppressed,
)


def now() -> datetime:
    return datetime.now(UTC)


async def ask(service: Running, email: str, ip: str = BERLIN) -> AssistanceEnriched:
    request = asked(email, now(), ip)
    await service.send(request)
    return await service.enriched(request.data.reference_id)


async def test_an_address_of_nobody(service: Running) -> None:
    event = await ask(service, f"{a_name()}@example.org")
    assert (event.data.match, event.data.resolved, event.data.context, event.subject) == (Match.NONE, None, None, None)
    assert event.data.request.ip_used_before.state is FactState.UNKNOWN


async def test_an_address_of_two_is_ambiguous(service: Running) -> None:
    one, two = a_name(), a_name()
    address = f"{one}@example.org"
    await service.project(an_account(one, now()), an_account(two, now(), email=address.upper()))
    event = await ask(service, address)
    assert (event.data.match, event.data.resolved, event.data.context) == (Match.AMBIGUOUS, None, None)
    assert event.data.request.ip_used_before.why == "several accounts have this address"


async def test_addresses_match_by_case_and_unicode_form_but_by_no_wider_fold(service: Running) -> None:
    name = a_name()
    await service.project(an_account(name, now(), email=f"müller.{name}@bücher.example"))
    decomposed = f"MU\u0308LLER.{name}@xn--bcher-kva.example"
    assert (await ask(service, decomposed)).subject == name
    event = await ask(service, f"muller.{name}@bücher.example")
    assert event.data.match is Match.NONE
    (caution,) = event.data.cautions
    assert caution.code is CautionCode.LOOK_ALIKE_ADDRESS
    assert caution.evidence["account_1"] == name


async def test_a_removed_account_is_not_found_until_a_newer_report(service: Running) -> None:
    name = a_name()
    start = before(now(), hours=1)
    await service.project(an_account(name, start), removed(name, start + timedelta(minutes=2)))
    assert (await ask(service, f"{name}@example.org")).data.match is Match.NONE
    await service.project(an_account(name, start + timedelta(minutes=1)))
    assert (await service.context(name)).status_code == 404
    await service.project(an_account(name, start + timedelta(minutes=3)))
    assert (await ask(service, f"{name}@example.org")).data.match is Match.EXACT


async def test_a_changed_address_matches_and_the_old_one_no_more(service: Running) -> None:
    name = a_name()
    old, new = f"{name}@example.org", f"new.{name}@example.org"
    # The change comes first, the older report after it.
    await service.project(email_changed(name, old, new, now()), an_account(name, before(now(), days=1)))
    assert (await ask(service, old)).data.match is Match.NONE
    event = await ask(service, new)
    assert event.subject == name
    assert event.data.cautions[0].code is CautionCode.RECENT_CHANGES


async def test_a_request_that_overtakes_its_account_waits_for_it(service: Running) -> None:
    """Two topics have no common order: both were accepted, the account first."""
    name = a_name()
    request = asked(f"{name}@example.org", now())
    await service.send(request)
    await asyncio.sleep(0.1)  # the time of an intake relay that is slow with the other topic
    await service.send(an_account(name, now()))
    event = await service.enriched(request.data.reference_id, 2)
    assert event.subject == name


async def test_a_request_delivered_again_is_enriched_once(service: Running) -> None:
    name = a_name()
    await service.project(an_account(name, now()))
    request = asked(f"{name}@example.org", now())
    for _ in range(3):
        await service.send(request)
    await service.enriched(request.data.reference_id)
    marker = await ask(service, f"{name}@example.org")
    rows = await service.database.fetch("SELECT value FROM ledger WHERE key = $1", request.data.reference_id)
    assert len(rows) == 1
    value = marker.data.request.earlier_requests.value
    assert value is not None
    assert [item.reference_id for item in value.items] == [request.data.reference_id]


async def test_suppressed_requests_are_counted_and_not_enriched(service: Running) -> None:
    name = a_name()
    address = f"{name}@example.org"
    await service.project(an_account(name, now()))
    quiet = [suppressed(address, before(now(), minutes=minute), AMSTERDAM) for minute in (3, 2)]
    await service.project(asked(address, before(now(), minutes=4)), *quiet)
    event = await ask(service, address)
    value = event.data.request.earlier_requests.value
    assert value is not None
    assert value.count == 3
    (caution,) = event.data.cautions
    assert caution.text == (
        "Many requests: 3 earlier requests in the last 24 hours, 2 of them suppressed, "
        "from AS64650 Windmill Cheap Hosting (2); AS64611 Spree Breitband (1)."
    )
    references = [request.data.reference_id for request in quiet]
    assert await service.database.fetchval("SELECT count(*) FROM ledger WHERE key = ANY($1)", references) == 0


async def test_an_attack_raises_every_caution_that_it_should(service: Running) -> None:
    name = a_name()
    await service.project(
        an_account(name, before(now(), days=9)),
        signed_in(name, before(now(), days=2), BERLIN),
        signed_in(name, before(now(), minutes=30), LONDON),
        *(failed(name, before(now(), minutes=minute), TOKYO) for minute in range(1, 8)),
    )
    event = await ask(service, f"{name}@example.org", TOKYO)
    assert [caution.code for caution in event.data.cautions] == [
        CautionCode.IMPOSSIBLE_TRAVEL,
        CautionCode.NEW_LOCATION,
        CautionCode.NEW_NETWORK,
        CautionCode.FAILED_SIGNINS,
    ]
    texts = [caution.text for caution in event.data.cautions]
    assert texts[0].startswith("Impossible travel: the request came from Tokyo, Japan, 30 minutes after")
    assert texts[3] == (
        "Failed sign-ins: 7 in the last 24 hours, 7 of them from the network of this request (AS64620 Sumida Hikari)."
    )


async def test_a_day_is_24_hours_to_the_second(service: Running) -> None:
    name, moment = a_name(), now()
    request = asked(f"{name}@example.org", moment)
    inside, outside = moment - timedelta(hours=24), moment - timedelta(hours=24, seconds=1)
    month, beyond = moment - timedelta(days=30), moment - timedelta(days=30, seconds=1)
    await service.project(an_account(name, beyond), *(failed(name, at) for at in (inside, outside, month, beyond)))
    await service.send(request)
    context = (await service.enriched(request.data.reference_id)).data.context
    assert context is not None
    value = context.failed_signins.value
    assert value is not None
    assert (value.last_24_hours, value.last_30_days) == (1, 3)


async def test_special_addresses_say_what_they_are(service: Running) -> None:
    name = a_name()
    await service.project(an_account(name, now()), signed_in(name, before(now(), days=1), "192.168.7.8"))
    event = await ask(service, f"{name}@example.org", "192.168.7.9")
    about = event.data.request
    assert about.address_kind is AddressKind.PRIVATE
    assert about.location.why == "private address"
    assert about.ip_used_before.value is not None
    assert about.network_used_before.value is not None
    assert (about.ip_used_before.value.used, about.network_used_before.value.used) == (False, True)
    context = event.data.context
    assert context is not None
    assert context.signin_locations.value is not None
    assert context.signin_locations.value[0].label == "private address"


async def test_what_cannot_be_read_is_parked_and_its_neighbours_have_their_effect(service: Running) -> None:
    name = a_name()
    topic = Topic.IDENTITY_ACTIVITY.value
    broken = signed_in(name, now()).to_bytes().replace(BERLIN.encode(), b"not an address")
    await service.send_raw(topic, broken)
    await service.send_raw(topic, b"\xff not json")
    await service.project(an_account(name, now()), signed_in(name, now()))
    assert (await ask(service, f"{name}@example.org")).subject == name

    async def parked() -> bool:
        found = await service.database.fetch(
            "SELECT value FROM ledger WHERE topic = $1", dead_letter_topic(topic, GROUP)
        )
        return {bytes(row["value"]) for row in found} >= {broken, b"\xff not json"}

    await wait_for(parked)
