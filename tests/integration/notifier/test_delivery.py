"""Who gets a message, how often, and what is recorded of it."""

from __future__ import annotations

from shared.schemas.notifier import AdminNotified
from tests.integration.kit.conftest import wait_for
from tests.integration.notifier.conftest import StartNotifier
from tests.unit.notifier.builders import a_reference, enriched, event_of, reported


def unique(prefix: str) -> str:
    return f"{prefix}-{a_reference().lower()}"


async def test_an_eligible_admin_gets_one_message_and_it_is_published(start_notifier: StartNotifier) -> None:
    notifier = await start_notifier()
    admin = unique("admin")
    await notifier.publish(reported(admin))
    await notifier.knows(admin)
    request = event_of(enriched())
    reference_id = request.data.reference_id

    await notifier.publish(request)
    await wait_for(lambda: notifier.mails.recipients(reference_id))

    async def published() -> bool:
        return bool(await notifier.published(reference_id))

    await wait_for(published)
    (event,) = [e for e in await notifier.published(reference_id) if e.data.admin == admin]
    assert isinstance(event, AdminNotified)
    assert notifier.mails.recipients(reference_id) == [f"{admin}@example.org"]
