"""A service as a process: what it runs beside its web application, in which order it starts and stops."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Protocol

import uvicorn
from fastapi import APIRouter, FastAPI
from faststream.kafka import KafkaBroker
from faststream_outbox import OutboxBroker
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.kit.db.engine import create_engine
from shared.kit.db.unit import Database
from shared.kit.failpoints import arm
from shared.kit.http.app import DirectRoute, create_app
from shared.kit.http.health import Check, database_check, health_router
from shared.kit.logging import configure_logging, get_logger
from shared.kit.messaging.activity import QueueActivity
from shared.kit.messaging.broker import KafkaLink, broker_answers, create_broker
from shared.kit.messaging.consumer import RecordConsumer
from shared.kit.messaging.dead_letter_worker import DeadLetterWorker
from shared.kit.messaging.events import EventProcessor
from shared.kit.messaging.outbox_watchdog import QueueWatchdog, queues_of
from shared.kit.messaging.relay import Publisher, create_outbox, register_relay
from shared.kit.messaging.watchdog import ConsumerWatchdog
from shared.kit.settings import ServiceSettings
from shared.kit.shutdown import HTTP_SECONDS, KAFKA_SECONDS, SIGNALS, seconds_left, stop_asked

VERSION = "0.1.0"
OUTBOX_CONNECTIONS = 24  # a ceiling: queues of a relay (5 connections) and mail senders (9 each); opened as they start

log = get_logger(__name__)


class Component(Protocol):
    """Something that runs beside the web application."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass
class Plumbing:
    """What `bootstrap` builds a service from."""

    settings: ServiceSettings
    engine: AsyncEngine
    outbox_engine: AsyncEngine
    database: Database
    outbox: OutboxBroker
    kafka: KafkaBroker
    link: KafkaLink
    activity: QueueActivity
    wake_relay: Callable[[], None]
    consumers: list[RecordConsumer] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)
    live: dict[str, Check] = field(default_factory=dict)
    brakes: dict[str, Check] = field(default_factory=dict)
    alarms: dict[str, Check] = field(default_factory=dict)

    @classmethod
    def build(cls, settings: ServiceSettings) -> Plumbing:
        """Engine, outbox with its relay, Kafka. Nothing is connected yet."""
        engine = create_engine(
            settings.database_url,
            pool_size=settings.database_pool_size,
            application_name=f"readmit-{settings.service}",
        )
        # The outbox holds a connection for each of its loops and workers as long as it runs; from the same pool they
        # would leave none for the rest of the service.
        outbox_engine = create_engine(
            settings.database_url,
            pool_size=OUTBOX_CONNECTIONS,
            application_name=f"readmit-{settings.service}-outbox",
        )
        activity = QueueActivity()
        outbox = create_outbox(outbox_engine, activity)
        kafka = create_broker(settings)
        wake_relay = register_relay(outbox, _in_disorder(kafka, settings.disorder_window), engine)
        database = Database(engine, outbox)
        link = KafkaLink(kafka)
        return cls(settings, engine, outbox_engine, database, outbox, kafka, link, activity, wake_relay)

    def consume(self, consumer: RecordConsumer, *, topics: Sequence[str] = (), pattern: str | None = None) -> None:
        """Adds a consumer group over the given topics."""
        consumer.subscribe(self.kafka, self.settings, topics=topics, pattern=pattern)
        self.consumers.append(consumer)
        watchdog = ConsumerWatchdog(consumer, deaf_seconds=self.settings.watchdog_consumer_seconds)
        self.components.append(watchdog)
        self.live[f"consumer {consumer.group}"] = watchdog.deaf
        if isinstance(processor := consumer.process, EventProcessor):  # audit's parks nothing
            processor.look_ahead = consumer.look_ahead
            processor.note = consumer.note
            processor.dead_letters_in_a_row = self.settings.dead_letters_in_a_row
            self.brakes[f"brake {consumer.group}"] = processor.braked
            self.components.append(DeadLetterWorker(processor, self.database))
        if self.settings.disorder_window:
            from shared.kit.testing.duplicator import Duplicator

            consumer.process = Duplicator(consumer.process, self.settings.disorder_window, random.Random())  # noqa: S311

    def watch_queues(self) -> None:
        """Adds a watchdog for each queue that the outbox's subscribers serve by now."""
        for queue in queues_of(self.outbox.subscribers):
            watchdog = QueueWatchdog(
                queue, self.engine, self.activity, self.settings, partial(broker_answers, self.settings)
            )
            self.components.append(watchdog)
            self.live[f"queue {queue}"] = watchdog.stuck
            self.alarms[f"queue {queue}"] = watchdog.alarm

    async def start(self) -> None:
        """Starts everything. Kafka is connected in the background."""
        await self.link.start()
        await self.outbox.start()
        for component in self.components:
            await component.start()
        log.info("service.started", version=VERSION)

    async def stop(self) -> None:
        """Stops in the reverse order: first what takes work in, the database last.

        What has work in hand stops at once and side by side, so that each may use nearly all of the time that is left:
        what ends by itself is not delivered, and no mail sent, a second time.
        """
        for consumer in self.consumers:
            consumer.stop()
        closing = KAFKA_SECONDS / 2  # for goodbyes to the broker once nothing is in hand
        drain = max(seconds_left() - closing, 0.1)
        self.outbox.config.broker_config.graceful_timeout = drain
        self.kafka.config.broker_config.graceful_timeout = drain
        await self._stop_within(
            drain + closing / 2,
            *(component.stop() for component in reversed(self.components)),
            self.outbox.stop(),
            self.link.drain(),
        )
        await self._stop_within(seconds_left(), self.link.stop())
        await self._stop_within(0.5, self.outbox_engine.dispose(), self.engine.dispose())
        log.info("service.stopped")

    @staticmethod
    async def _stop_within(seconds: float, *steps: Coroutine[None, None, None]) -> None:
        """Whoever takes longer, or fails, holds nobody up."""
        tasks = {asyncio.ensure_future(step) for step in steps}
        done, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            log.warning("service.stop_cut_short", steps=len(late))
            await asyncio.wait(late, timeout=0.2)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.warning("service.stop_failed", error=type(error).__name__)

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """The lifespan of the web application."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    def application(
        self,
        *,
        title: str,
        description: str,
        routers: Sequence[APIRouter] = (),
        ready: Mapping[str, Check] | None = None,
        openapi: bool = False,
        needs_broker: bool = True,
        notes: Mapping[str, Check] | None = None,
        direct: Sequence[DirectRoute] = (),
    ) -> FastAPI:
        """The service's web application.

        Args:
            ready: further readiness checks.
            openapi: whether it has a public HTTP interface.
            needs_broker: False where the service does its work without Kafka (what it accepts waits in the outbox).
            notes: what readiness reports beside, without making the service unready.
            direct: routes past FastAPI's own handling.
        """
        self.watch_queues()
        broker: dict[str, Check] = {"kafka": self.link.unready}
        broker |= {f"consumer {consumer.group}": consumer.unready for consumer in self.consumers} | self.brakes
        checks: dict[str, Check] = {"database": database_check(self.engine), **(ready or {})}
        health = health_router(
            ready=checks | broker if needs_broker else checks,
            live=self.live,
            notes={**(notes or {}), **self.alarms, **({} if needs_broker else broker)},
        )
        return create_app(
            title=title,
            description=description,
            version=VERSION,
            routers=[*routers, health],
            lifespan=self.running,
            openapi=openapi,
            direct=direct,
        )


def _in_disorder(kafka: Publisher, window: int) -> Publisher:
    """What the relay publishes by: Kafka, unless a test wants every message twice and out of order."""
    if not window:
        return kafka
    from shared.kit.testing.shuffler import Shuffler

    log.warning("disorder.armed", window=window)
    return Shuffler(kafka, window, random.Random())  # noqa: S311


def serve(app: FastAPI, settings: ServiceSettings) -> None:
    """Runs the application until SIGTERM or SIGINT. The peer's address is the connection's: no proxy header is believed
    here (hazard 16); what a service believes of them it decides itself, by its own setting."""
    arm(settings.service, settings.failpoints, settings.failpoints_dir)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=HTTP_SECONDS,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=32_768,
    )
    server = _Server(config)
    server.run()
    if not server.started:
        sys.exit(3)  # as uvicorn's own command does


class _Server(uvicorn.Server):
    """Ends with exit code 0 when asked to end; uvicorn's own raises the signal again, and ends with the signal's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in SIGNALS:
            signal.signal(number, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        stop_asked()
        super().handle_exit(sig, frame)


def start_logging(settings: ServiceSettings) -> None:
    configure_logging(settings.service, settings.log_level)
