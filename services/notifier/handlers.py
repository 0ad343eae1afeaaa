"""Events and jobs to use cases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from faststream_outbox import OutboxBroker

from services.notifier.adapters.work import work_in
from services.notifier.domain.accounts import IDENTITY_EVENTS
from services.notifier.ports import LATER, MAIL
from services.notifier.usecases.deliver_mail import DeliverMail, TryAgain
from services.notifier.usecases.notify_admins import NotifyAdmins
from services.notifier.usecases.project_accounts import project_accounts
from services.notifier.usecases.tell_digest import TellDigest
from shared.kit.db.unit import Database, UnitOfWork
from shared.kit.failpoints import failpoint
from shared.kit.mail.retry import MailRetry
from shared.kit.mail.sender import TemporaryFailure
from shared.kit.messaging.events import Handlers
from shared.kit.messaging.tracing import trace
from shared.schemas.enrichment import AssistanceEnriched

GROUP = "notifier.events"

# After this long a job comes again, and at once after its process was killed (shared.kit.messaging.leases). A living
# sender keeps its claim longer, however slow the server (usecases.deliver_mail), so this need not cover that.
LEASE_SECONDS = 25.0
# At most eight by contract, section 9. Each worker holds a database connection for as long as it runs.
MESSAGES_IN_FLIGHT = 4
# The use case gives up after 24 hours and records it; the queue must not drop the job before.
_QUEUE_GIVES_UP = timedelta(days=30)


def register(handlers: Handlers, notify: NotifyAdmins) -> None:
    """Kafka's events: one handler for all, so that of a batch the accounts come before the requests."""

    @handlers.on_many(*IDENTITY_EVENTS, AssistanceEnriched)
    async def on_events(events: Sequence[Any], unit: UnitOfWork) -> None:
        work = work_in(unit)
        await project_accounts([event for event in events if not isinstance(event, AssistanceEnriched)], work)
        for event in events:
            if isinstance(event, AssistanceEnriched):
                with trace(event.traceparent):
                    await failpoint("notifier.resolution.before")
                    await notify(event, work)
                    await failpoint("notifier.resolution.after")


def register_jobs(
    outbox: OutboxBroker, database: Database, notify: NotifyAdmins, deliver: DeliverMail, tell_digest: TellDigest
) -> None:
    """The service's own queues."""

    @outbox.subscriber(
        MAIL,
        max_workers=MESSAGES_IN_FLIGHT,
        retry_strategy=MailRetry(_QUEUE_GIVES_UP),
        lease_ttl_seconds=LEASE_SECONDS,
        fetch_batch_size=MESSAGES_IN_FLIGHT,
        # While more waits. A delivery that was settled is left alone when its job comes again.
        terminal_flush_batch_size=MESSAGES_IN_FLIGHT,
        min_fetch_interval=0.5,
        max_fetch_interval=2.0,
    )
    async def send_mail(job: dict[str, Any]) -> None:
        await failpoint("notifier.mail.after-lease")
        try:
            await deliver(job["delivery_id"])
        except TryAgain:
            raise TemporaryFailure(None, "the message is tried again") from None

    @outbox.subscriber(
        LATER,
        max_workers=1,
        retry_strategy=MailRetry(_QUEUE_GIVES_UP),
        lease_ttl_seconds=LEASE_SECONDS,
        min_fetch_interval=0.3,
        max_fetch_interval=1.0,
    )
    async def decide_later(job: dict[str, Any]) -> None:
        async with database.begin() as unit:
            if "reference_id" in job:
                await notify.check_again(job["reference_id"], job["checks"], work_in(unit))
            else:
                await tell_digest(job["admin"], datetime.fromisoformat(job["due_at"]), work_in(unit))
