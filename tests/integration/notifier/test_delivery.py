"""Who gets a message, how often, and what is recorded of it, whatever mail servers and brokers do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.notifier.domain.delivery import FALLBACK
from shared.kit.mail import retry
from shared.schemas.action import Outcome
from shared.schemas.enrichment import AssistanceEnriched
from shared.schemas.notifier import AdminNotificationFailed, AdminNotified, NobodyEligible, Via
from tests.integration.kit.conftest import wait_for
from tests.integration.notifier.conftest import Notifier, StartNotifier
from tests.unit.notifier.builders import (
    a_reference,
    email_changed,
    enriched,
    event_of,
    locked,
    removed,
    reported,
    unlocked,
    unmatched,
)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries as in production, only sooner."""
    monkeypatch.setattr(retry, "_PAUSES", (0.1, 0.2, 0.3))


def unique(name: str) -> str:
    return f"{name}-{a_reference().lower()}"


def address(account_id: str) -> str:
    return f"{account_id}@example.org"


async def settled(notifier: Notifier, request: AssistanceEnriched, count: int = 1) -> list[Any]:
    """Waits until so many events about the request are published, and gives them."""
    reference_id = request.data.reference_id

    async def enough() -> bool:
        return len(await notifier.published(reference_id)) >= count

    await wait_for(enough)
    return await notifier.published(reference_id)


async def an_admin(notifier: Notifier, **changes: Any) -> str:
    """An eligible administrator that the service knows of; nobody else is one."""
    admin = unique("admin")
    await notifier.publish(reported(admin, **changes))
    await notifier.knows(admin)
    return admin


async def test_one_mail_for_each_eligible_admin_and_none_for_others(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier()
    tag = a_reference().lower()
    expected, events = [], []
    for status in ("active", "locked", "disabled"):
        for level in (0, 1, 2):
            for has_address in (True, False):
                account_id = f"{status}-{level}-{has_address}-{tag}".lower()
                mailbox = address(account_id) if has_address else ""
                events.append(reported(account_id, status=status, data_protection_access=level, email=mailbox))
                if status == "active" and level and has_address:
                    expected.append(account_id)
    await notifier.publish(*events)
    await notifier.knows(*(event.data.account_id for event in events))

    request = event_of(enriched())
    await notifier.publish(request)
    published = await settled(notifier, request, len(expected))

    assert notifier.mails.recipients() == sorted(address(account_id) for account_id in expected)
    assert sorted(event.data.admin for event in published) == sorted(expected)
    for event in published:
        assert isinstance(event, AdminNotified)
        assert (event.data.outcome, event.data.via, event.data.attempts) == (Outcome.SUCCESS, Via.MESSAGE, 1)
        assert event.data.subject == request.data.subject
        assert event.data.actor == "service:notifier"
    ids = {message["Message-ID"] for _, message, _ in notifier.mails.accepted}
    assert len(ids) == len(expected)


async def test_the_level_is_a_setting(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier(READMIT_NOTIFY_LEVEL="2")
    low, high = await an_admin(notifier), await an_admin(notifier, data_protection_access=2)
    request = event_of(enriched())
    await notifier.publish(request)
    await settled(notifier, request)
    assert notifier.mails.recipients() == [address(high)]
    assert low not in await notifier.deliveries(request.data.reference_id)


async def test_duplicates_and_a_job_that_comes_again_send_once(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier()
    admin = await an_admin(notifier)
    data = enriched()
    request = event_of(data)
    await notifier.publish(request, request, request, event_of(data))  # the last: another event of the same request
    await settled(notifier, request)

    rows = await notifier.rows("SELECT id FROM deliveries WHERE admin = :admin", admin=admin)
    async with notifier.plumbing.database.begin() as unit:
        for _ in range(3):
            unit.enqueue("mail", {"delivery_id": rows[0].id})

    async def worked_off() -> bool:
        return not await notifier.rows("SELECT 1 FROM outbox WHERE queue = 'mail'")

    await wait_for(worked_off)
    assert notifier.mails.recipients() == [address(admin)]
    assert len(await notifier.published(data.reference_id)) == 1
    assert [row.count for row in await notifier.rows("SELECT count(*) AS count FROM attempts")] == [1]


async def test_450_is_tried_again_as_the_same_message(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier()
    admin = await an_admin(notifier)
    notifier.mails.answer = lambda times, _: "450 4.2.0 greylisted" if times < 3 else "250 2.0.0 taken"
    request = event_of(enriched())
    await notifier.publish(request)
    (event,) = await settled(notifier, request)

    assert isinstance(event, AdminNotified)
    assert event.data.attempts == 3
    assert len({message_id for _, message_id in notifier.mails.seen}) == 1
    assert notifier.mails.recipients() == [address(admin)]
    attempts = await notifier.rows("SELECT number, outcome, smtp_status, server_answer FROM attempts ORDER BY number")
    assert [(row.number, row.outcome, row.smtp_status) for row in attempts] == [
        (1, "temporary", 450),
        (2, "temporary", 450),
        (3, "accepted", 250),
    ]
    assert "greylisted" in attempts[0].server_answer


@pytest.mark.parametrize("at_recipient", [True, False])
async def test_550_is_final_and_published_with_the_servers_words(
    start_notifier: StartNotifier, at_recipient: bool
) -> None:
    notifier = await start_notifier()
    bad, good = await an_admin(notifier), await an_admin(notifier)
    refusal = "550 5.1.1 no such mailbox"
    if at_recipient:
        notifier.mails.recipient_answer = lambda to: refusal if to == address(bad) else "250 OK"
    else:
        notifier.mails.answer = lambda _, to: refusal if to == address(bad) else "250 2.0.0 taken"
    request = event_of(enriched())
    await notifier.publish(request)
    by_admin = {event.data.admin: event for event in await settled(notifier, request, 2)}

    failed = by_admin[bad]
    assert isinstance(failed, AdminNotificationFailed)
    assert (failed.data.outcome, failed.data.reason, failed.data.smtp_status) == (Outcome.FAILURE, "refused", 550)
    assert failed.data.server_answer == "5.1.1 no such mailbox"
    assert isinstance(by_admin[good], AdminNotified)
    assert await notifier.deliveries(request.data.reference_id) == {bad: "failed", good: "sent"}


async def test_a_connection_that_breaks_after_data_repeats_under_the_same_message_id(
    start_notifier: StartNotifier,
) -> None:
    notifier = await start_notifier()
    await an_admin(notifier)
    notifier.mails.answer = lambda times, _: None if times == 1 else "250 2.0.0 taken"
    request = event_of(enriched())
    await notifier.publish(request)
    (event,) = await settled(notifier, request)
    assert isinstance(event, AdminNotified)
    assert len(notifier.mails.accepted) == 2  # the one case in which it may
    first, second = (raw for *_, raw in notifier.mails.accepted)
    assert first == second


async def test_permission_revoked_before_the_retry(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier()
    admin = await an_admin(notifier)
    notifier.mails.answer = lambda *_: "451 4.3.0 later"
    request = event_of(enriched())
    await notifier.publish(request)
    await wait_for(lambda: notifier.mails.seen)
    await notifier.publish(reported(admin, data_protection_access=0))
    (event,) = await settled(notifier, request)

    assert isinstance(event, AdminNotificationFailed)
    assert (event.data.outcome, event.data.reason, event.data.admin) == (Outcome.DENIED, "not-eligible", admin)
    assert await notifier.deliveries(request.data.reference_id) == {admin: "cancelled"}
    assert notifier.mails.accepted == []


async def test_a_retry_goes_to_the_address_of_the_moment(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier()
    admin = await an_admin(notifier)
    notifier.mails.answer = lambda _, to: "451 4.3.0 later" if to == address(admin) else "250 2.0.0 taken"
    request = event_of(enriched())
    await notifier.publish(request)
    await wait_for(lambda: notifier.mails.seen)
    await notifier.publish(email_changed(admin, "new@example.org"))
    await settled(notifier, request)
    assert notifier.mails.recipients() == ["new@example.org"]


async def test_after_24_hours_it_is_abandoned(start_notifier: StartNotifier) -> None:
    moment = datetime.now(UTC)
    notifier = await start_notifier(clock=lambda: moment)
    admin = await an_admin(notifier)
    notifier.mails.answer = lambda *_: "451 4.3.0 later"
    request = event_of(enriched())
    await notifier.publish(request)
    await wait_for(lambda: notifier.mails.seen)
    moment += timedelta(hours=24, seconds=1)
    (event,) = await settled(notifier, request)
    assert isinstance(event, AdminNotificationFailed)
    assert (event.data.reason, event.data.smtp_status) == ("abandoned", 451)
    assert await notifier.deliveries(request.data.reference_id) == {admin: "abandoned"}


async def test_any_order_of_account_events_ends_in_the_same_projection(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier()
    now, tag = datetime.now(UTC), a_reference().lower()

    def at(minute: int) -> datetime:
        return now + timedelta(minutes=minute - 10)

    def history(account_id: str) -> list[Any]:
        return [
            reported(account_id, at=at(0), data_protection_access=2),
            locked(account_id, at=at(1)),
            removed(account_id, at=at(2)),
            email_changed(account_id, f"old-{tag}@example.org", at=at(3)),
            reported(account_id, at=at(4), email=f"newest-{tag}@example.org"),
            unlocked(account_id, at=at(5)),
        ]

    orders = [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 2, 4, 1], [4, 2, 0, 5, 1, 3]]
    for number, order in enumerate(orders):
        events = history(f"order-{number}-{tag}")
        for index in order:  # a batch each: the join happens in the table
            await notifier.publish(events[index])
            await asyncio.sleep(0.05)
    names = [f"order-{number}-{tag}" for number in range(len(orders))]
    for register in ("profile_at", "removed_at", "locked_at", "email_at"):
        await notifier.knows(*names, column=register)

    async def alike() -> bool:
        rows = await notifier.rows(
            "SELECT DISTINCT display_name IS NOT NULL AS named, status, level, email, locked, profile_at, email_at, "
            "locked_at, removed_at FROM accounts WHERE account_id = ANY(:ids)",
            ids=names,
        )
        return len(rows) == 1 and rows[0].email == f"newest-{tag}@example.org" and rows[0].locked is False

    await wait_for(alike)


async def test_of_a_removed_account_only_stamps_stay(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier()
    admin = await an_admin(notifier, time_zone="Europe/Berlin")
    await notifier.publish(removed(admin))
    await notifier.knows(admin, column="removed_at")
    (row,) = await notifier.rows("SELECT * FROM accounts WHERE account_id = :id", id=admin)
    assert (row.display_name, row.email, row.time_zone) == (None, None, None)


async def test_nobody_eligible_is_published_and_the_fallback_gets_the_message(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier(READMIT_FALLBACK_EMAIL="fallback@example.org", READMIT_NOTIFY_LEVEL="90")
    request = event_of(enriched())
    await notifier.publish(request)
    (event,) = await settled(notifier, request)
    assert isinstance(event, NobodyEligible)
    assert event.data.fallback is True
    await wait_for(lambda: notifier.mails.recipients(request.data.reference_id))
    assert notifier.mails.recipients() == ["fallback@example.org"]

    async def sent() -> bool:
        return await notifier.deliveries(request.data.reference_id) == {FALLBACK: "sent"}

    await wait_for(sent)
    assert len(await notifier.published(request.data.reference_id)) == 1


async def test_an_account_that_arrives_just_after_the_request_is_told(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier(READMIT_NOTIFY_LEVEL="50")
    request = event_of(enriched())
    await notifier.publish(request)

    async def kept() -> bool:
        return bool(await notifier.rows("SELECT 1 FROM requests WHERE NOT settled"))

    await wait_for(kept)
    admin = unique("late")
    await notifier.publish(reported(admin, data_protection_access=50))
    (event,) = await settled(notifier, request)
    assert isinstance(event, AdminNotified)
    assert notifier.mails.recipients() == [address(admin)]


async def test_a_flood_of_unmatched_requests_ends_in_a_digest(start_notifier: StartNotifier) -> None:
    moment = datetime.now(UTC).replace(minute=30)
    notifier = await start_notifier(clock=lambda: moment, READMIT_NOTIFY_MAX_PER_HOUR="2")
    admin = await an_admin(notifier)
    requests = [event_of(unmatched()) for _ in range(5)]
    matched = [event_of(enriched()) for _ in range(2)]  # the first goes at once, the second is a repeat
    for request in (*requests, *matched):
        await notifier.publish(request)
        reference_id = request.data.reference_id

        async def decided(reference_id: str = reference_id) -> bool:
            return bool(await notifier.rows("SELECT 1 FROM notifications WHERE reference_id = :r", r=reference_id))

        await wait_for(decided)
    await wait_for(lambda: len(notifier.mails.accepted) == 3)

    waiting = [*requests[2:], matched[1]]
    rows = await notifier.rows("SELECT reference_id FROM notifications WHERE via = 'digest' AND delivery_id IS NULL")
    assert {row.reference_id for row in rows} == {request.data.reference_id for request in waiting}
    async with notifier.plumbing.database.begin() as unit:  # the end of the hour, now
        (row,) = await notifier.rows("SELECT DISTINCT due_at FROM notifications WHERE via = 'digest'")
        unit.enqueue("later", {"admin": admin, "due_at": row.due_at.isoformat()})
    for request in waiting:
        (event,) = await settled(notifier, request)
        assert isinstance(event, AdminNotified)
        assert event.data.via is Via.DIGEST
    assert len(notifier.mails.accepted) == 4
    _, digest, _ = notifier.mails.accepted[-1]
    assert digest["X-Readmit-Reference"] is None
    body = digest.get_body(("plain",))
    assert body is not None
    for request in waiting:
        assert request.data.reference_id in body.get_content()


async def test_each_reads_their_own_language(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier()
    for locale in ("de", "ar"):
        await an_admin(notifier, locale=locale, time_zone="Europe/Berlin")
    request = event_of(enriched())
    await notifier.publish(request)
    await settled(notifier, request, 2)
    subjects = sorted(str(message["Subject"]) for _, message, _ in notifier.mails.accepted)
    reference_id = request.data.reference_id
    assert subjects == sorted(
        [
            f"[{reference_id}] Hilfeanfrage: Zwei-Faktor-Authentifizierung verloren",
            f"[{reference_id}] طلب مساعدة: فقدان المصادقة الثنائية",
        ]
    )


async def test_a_job_that_comes_again_while_the_server_is_slow_does_not_send(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier()
    admin = await an_admin(notifier)
    answered = asyncio.Event()

    async def wait() -> None:
        await answered.wait()

    notifier.mails.on_data = wait
    request = event_of(enriched())
    await notifier.publish(request)
    await wait_for(lambda: notifier.mails.seen)
    (row,) = await notifier.rows("SELECT id FROM deliveries")
    async with notifier.plumbing.database.begin() as unit:
        unit.enqueue("mail", {"delivery_id": row.id})

    async def tried() -> bool:
        return bool(await notifier.rows("SELECT 1 FROM outbox WHERE queue = 'mail' AND attempts_count > 1"))

    await wait_for(tried)
    answered.set()
    await settled(notifier, request)
    assert notifier.mails.recipients() == [address(admin)]
    assert len(notifier.mails.seen) == 1


async def test_a_claim_that_ran_out_while_the_database_was_away_does_not_repeat_what_is_being_sent(
    start_notifier: StartNotifier,
) -> None:
    """PostgreSQL's death ends leases and stops the heartbeat, not the sender."""
    notifier = await start_notifier()
    admin = await an_admin(notifier)
    answered = asyncio.Event()

    async def wait() -> None:
        await answered.wait()

    notifier.mails.on_data = wait
    request = event_of(enriched())
    await notifier.publish(request)
    await wait_for(lambda: notifier.mails.seen)
    async with notifier.plumbing.database.begin() as unit:
        rows = await unit.connection.execute(
            text("UPDATE deliveries SET claimed_until = now() - interval '1 second' RETURNING id")
        )
        unit.enqueue("mail", {"delivery_id": rows.scalar_one()})

    async def tried() -> bool:
        return bool(await notifier.rows("SELECT 1 FROM outbox WHERE queue = 'mail' AND attempts_count > 0"))

    await wait_for(tried)
    answered.set()
    await settled(notifier, request)
    assert notifier.mails.recipients() == [address(admin)]
    assert len(notifier.mails.seen) == 1


async def test_after_a_crash_the_attempt_is_unknown_and_repeats_as_the_same_message(
    start_notifier: StartNotifier,
) -> None:
    notifier = await start_notifier()
    await an_admin(notifier)
    notifier.mails.answer = lambda *_: "451 4.3.0 later"
    request = event_of(enriched())
    await notifier.publish(request)
    await wait_for(lambda: notifier.mails.seen)
    await wait_for(lambda: notifier.rows("SELECT 1 FROM attempts WHERE outcome = 'temporary'"))
    notifier.mails.answer = lambda *_: "250 2.0.0 taken"
    async with notifier.plumbing.database.begin() as unit:  # as a sender leaves it that dies before the answer
        await unit.connection.execute(
            text(
                "WITH died AS (UPDATE deliveries SET state = 'sending', attempts = attempts + 1, "
                "claimed_until = now() - interval '1 second' RETURNING id, attempts) "
                "INSERT INTO attempts (delivery_id, number) SELECT id, attempts FROM died"
            )
        )
    await settled(notifier, request)
    outcomes = [row.outcome for row in await notifier.rows("SELECT outcome FROM attempts ORDER BY number")]
    assert "unknown" in outcomes
    assert outcomes[-1] == "accepted"
    assert len({message_id for _, message_id in notifier.mails.seen}) == 1
    assert len(notifier.mails.accepted) == 1
