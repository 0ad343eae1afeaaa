"""Notifier as a whole on a real PostgreSQL and a real broker, with a mail server that does as the test says."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest_asyncio
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import FastAPI
from sqlalchemy import text

from services.notifier import bootstrap as bootstrap_module
from services.notifier.settings import NotifierSettings
from shared.kit.clock import utc_now
from shared.kit.db.migrate import migrate_async
from shared.kit.db.unit import Publication
from shared.kit.messaging.topics import apply_topics
from shared.kit.service import Plumbing
from shared.schemas.envelope import Event
from shared.schemas.registry import decode
from tests.conftest import CreateTopics
from tests.engines import PostgresEngine, free_port, kafka_settings
from tests.integration.kit.conftest import wait_for
from tests.unit.notifier.builders import a_reference

Answers = Callable[[int, str], str | None]
"""Given how often this Message-ID came and the recipient: the reply to DATA; None breaks the connection."""


@dataclass
class Mails:
    """A mail server. What it accepted is in `accepted`, whatever it said is in `seen`."""

    answer: Answers = lambda _times, _recipient: "250 2.0.0 taken"
    recipient_answer: Callable[[str], str] = lambda _recipient: "250 OK"
    accepted: list[tuple[str, EmailMessage, bytes]] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    on_data: Callable[[], Awaitable[None]] | None = None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.recipient_answer(address)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        (recipient,) = envelope.rcpt_tos
        self.seen.append((recipient, message["Message-ID"]))
        times = sum(message_id == message["Message-ID"] for _, message_id in self.seen)
        if self.on_data is not None:
            await self.on_data()
        reply = self.answer(times, recipient)
        if reply is None or reply.startswith("250"):
            self.accepted.append((recipient, message, content))
        if reply is None:  # it has the message, and the client never learns
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
            return "250 nobody hears this"
        return reply

    def recipients(self, reference_id: str | None = None) -> list[str]:
        return sorted(
            recipient
            for recipient, message, _ in self.accepted
            if reference_id is None or message["X-Readmit-Reference"] == reference_id
        )


@dataclass
class Notifier:
    """The running service."""

    settings: NotifierSettings
    plumbing: Plumbing
    mails: Mails
    topics: dict[str, str]
    """What this test's topics are called, by their real names: tests share a broker."""

    async def publish(self, *events: Event[Any]) -> None:
        """Puts events on their topics, as other services would."""
        for event in events:
            item = Publication.of(event, event.subject or "k")
            await self.plumbing.kafka.publish(item.value, topic=self.topics[item.topic], key=item.key.encode())

    async def rows(self, sql: str, **parameters: Any) -> Sequence[Any]:
        async with self.plumbing.database.read() as connection:
            return (await connection.execute(text(sql), parameters)).all()

    async def published(self, reference_id: str | None = None) -> list[Event[Any]]:
        """What the service has published about a request."""
        rows = await self.rows("SELECT value FROM ledger WHERE source = '/readmit/notifier' ORDER BY id")
        events = [decode(bytes(row.value)) for row in rows]
        return [e for e in events if reference_id is None or e.data.reference_id == reference_id]  # type: ignore[misc]

    async def knows(self, *account_ids: str, column: str = "profile_at") -> None:
        """Waits until the events of these accounts were consumed."""

        async def known() -> bool:
            rows = await self.rows(
                f"SELECT account_id FROM accounts WHERE account_id = ANY(:ids) AND {column} IS NOT NULL",
                ids=list(account_ids),
            )
            return len(rows) == len(set(account_ids))

        await wait_for(known)

    async def deliveries(self, reference_id: str) -> dict[str, str]:
        """State by administrator."""
        rows = await self.rows(
            "SELECT notifications.admin, state FROM notifications JOIN deliveries ON delivery_id = deliveries.id "
            "WHERE reference_id = :reference_id",
            reference_id=reference_id,
        )
        return {row.admin: row.state for row in rows}


StartNotifier = Callable[..., Awaitable[Notifier]]


@pytest_asyncio.fixture
async def mails() -> AsyncIterator[tuple[Mails, int]]:
    async with mail_server() as running:
        yield running


@asynccontextmanager
async def mail_server() -> AsyncIterator[tuple[Mails, int]]:
    """Runs a mail server; gives it and its port."""
    handler, port = Mails(), free_port()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, enable_SMTPUTF8=True, hostname="mail.example.org"), "127.0.0.1", port
    )
    try:
        yield handler, port
    finally:
        server.close()
        await server.wait_closed()


@pytest_asyncio.fixture
async def start_notifier(
    postgres_engine: PostgresEngine,
    kafka_servers: list[str],
    create_topics: CreateTopics,
    mails: tuple[Mails, int],
    monkeypatch: Any,
) -> AsyncIterator[StartNotifier]:
    """Starts services on one new database and topics of its own."""
    await apply_topics(kafka_servers, Path("deploy/kafka/topics.yaml"))
    identity, requests = bootstrap_module.IDENTITY_TOPICS, bootstrap_module.REQUEST_TOPICS
    topics = dict(zip((*identity, *requests), await create_topics(*identity, *requests), strict=True))
    monkeypatch.setattr(bootstrap_module, "IDENTITY_TOPICS", tuple(topics[name] for name in identity))
    monkeypatch.setattr(bootstrap_module, "REQUEST_TOPICS", tuple(topics[name] for name in requests))
    url = await postgres_engine.create("notifier")
    await migrate_async("notifier", url)
    handler, port = mails
    async with AsyncExitStack() as stack:

        async def start(*, clock: Any = utc_now, **overrides: str) -> Notifier:
            environ = {
                "READMIT_NOTIFIER_DATABASE_URL": url,
                "READMIT_HASH_KEY": base64.b64encode(b"k" * 32).decode(),
                **kafka_settings(kafka_servers),
                "READMIT_SMTP_URL": f"smtp://127.0.0.1:{port}",
                "READMIT_MAIL_FROM": "Account recovery <recovery@example.org>",
                "READMIT_PUBLIC_RECOVERY_URL": "https://recovery.example.org",
                "READMIT_ORGANISATION": "Meridian Example",
                "READMIT_SUPPORT_CONTACT": "helpdesk@example.org",
            }
            settings = NotifierSettings.load(environ | overrides)
            built: list[Plumbing] = []
            real_build = Plumbing.build

            def build(settings: Any) -> Plumbing:
                built.append(real_build(settings))
                return built[-1]

            monkeypatch.setattr(bootstrap_module, "GROUP", f"notifier.events-{a_reference()}")
            monkeypatch.setattr(Plumbing, "build", staticmethod(build))
            bootstrap_module.bootstrap(settings, clock=clock)
            monkeypatch.setattr(Plumbing, "build", real_build)
            (plumbing,) = built
            await stack.enter_async_context(plumbing.running(FastAPI()))

            async def ready() -> bool:
                return plumbing.link.started.is_set() and await plumbing.consumers[0].unready() is None

            await wait_for(ready)
            return Notifier(settings, plumbing, handler, topics)

        yield start
