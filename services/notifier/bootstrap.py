"""Puts notifier together: the only place that knows which adapter serves which port."""

from __future__ import annotations

from fastapi import FastAPI
from prometheus_client import Counter

from services.notifier.adapters.progress import ConsumerProgress
from services.notifier.adapters.rendering import Renderer, Sender
from services.notifier.adapters.smtp import SmtpSend
from services.notifier.adapters.work import begin_work
from services.notifier.domain.delivery import Answer, Delivery, State
from services.notifier.handlers import GROUP, MESSAGES_IN_FLIGHT, register, register_jobs
from services.notifier.settings import NotifierSettings
from services.notifier.usecases.deliver_mail import DeliverMail, FindRecipient
from services.notifier.usecases.notify_admins import NotificationPolicy, NotifyAdmins
from services.notifier.usecases.tell_digest import TellDigest
from shared.kit.clock import Clock, NewId, utc_now, uuid7
from shared.kit.http.dead_letters import DeadLetterRoutes
from shared.kit.logging import get_logger
from shared.kit.mail.message import envelope_address
from shared.kit.mail.sender import Mailer
from shared.kit.messaging.consumer import RecordConsumer
from shared.kit.messaging.events import EventProcessor, Handlers
from shared.kit.service import Plumbing
from shared.schemas.topics import Topic

IDENTITY_TOPICS = (Topic.IDENTITY_ACCOUNTS.value, Topic.IDENTITY_ACTIVITY.value)
REQUEST_TOPICS = (Topic.ASSISTANCE_ENRICHED.value,)

log = get_logger(__name__)
attempted = Counter("readmit_notifier_attempts_total", "Attempts to send, by the state they led to.", ["via", "state"])


def bootstrap(settings: NotifierSettings, *, clock: Clock = utc_now, new_id: NewId = uuid7) -> FastAPI:
    """The service's web application: operations only."""
    plumbing = Plumbing.build(settings)
    address = envelope_address(settings.mail_from)
    domain = address.rpartition("@")[2]
    policy = NotificationPolicy(
        level=settings.notify_level,
        max_per_hour=settings.notify_max_per_hour,
        fallback_email=settings.fallback_email,
        message_id_key=settings.hash_key.newest,
        message_id_domain=domain,
    )
    renderer = Renderer(
        Sender(
            settings.mail_from, domain, settings.organisation, settings.support_contact, settings.public_recovery_url
        )
    )
    mailer = Mailer(settings.smtp_url, connections=MESSAGES_IN_FLIGHT, alarm_seconds=settings.watchdog_alarm_seconds)
    plumbing.components += [renderer, mailer]
    plumbing.alarms["mail servers"] = mailer.alarm
    progress = ConsumerProgress(IDENTITY_TOPICS)
    plumbing.components.append(progress)
    notify = NotifyAdmins(policy, progress, clock, new_id)
    find_recipient = FindRecipient(settings.notify_level, settings.fallback_email)
    deliver = DeliverMail(
        begin_work(plumbing.database), renderer, SmtpSend(mailer, address), find_recipient, clock, new_id, _report
    )
    digest = TellDigest(policy, renderer, find_recipient, clock, new_id)
    register_jobs(plumbing.outbox, plumbing.database, notify, deliver, digest)

    handlers = Handlers()
    register(handlers, notify)
    processor = EventProcessor(GROUP, plumbing.database, handlers)
    progress.consumer = consumer = RecordConsumer(GROUP, processor)
    processor.stopping = consumer.stopping
    plumbing.consume(consumer, topics=(*IDENTITY_TOPICS, *REQUEST_TOPICS))
    auth = settings.operations_auth()
    return plumbing.application(
        title="Readmit notifier",
        description="Tells administrators of assistance requests. Operations only.",
        routers=[DeadLetterRoutes(auth, plumbing.database, settings.service).router()] if auth else [],
        openapi=auth is not None,
    )


def _report(delivery: Delivery, state: State, answer: Answer) -> None:
    attempted.labels(delivery.via.value, state.value).inc()
    log.info(
        "notification.attempted",
        delivery_id=delivery.id,
        admin=delivery.admin or "fallback",
        via=delivery.via.value,
        state=state.value,
        smtp_status=answer.status,
        attempts=delivery.attempts + 1,
    )
