"""The connection to Kafka: one FastStream broker a service, kept trying until the cluster answers."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from faststream.exceptions import FastStreamException
from faststream.kafka import KafkaBroker
from faststream.kafka.publisher.producer import AioKafkaFastProducerImpl
from faststream.kafka.security import parse_security
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from shared.kit.logging import get_logger
from shared.kit.settings import ServiceSettings
from shared.kit.shutdown import KAFKA_SECONDS

log = get_logger(__name__)

REQUEST_TIMEOUT_MS = 10_000  # shorter than the outbox lease, so that a hung send ends before its row is claimed again
# A dead letter is the largest that we send: a record of 1 MiB with its key and headers in base64 beside it
# (`max.message.bytes` of the dead letter topics). At aiokafka's 1 MiB it would be refused and tried for ever.
MAX_REQUEST_BYTES = 2_097_152
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0
_PROBE_SECONDS = 5.0


def security_of(settings: ServiceSettings) -> BaseSecurity | None:
    """FastStream's security object for the Kafka settings; None for plain text without authentication."""
    protocol = settings.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return None
    context = None
    if protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
        if settings.kafka_cert_file is not None:
            context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file)
    if not protocol.startswith("SASL"):
        return BaseSecurity(ssl_context=context, use_ssl=context is not None)
    mechanisms = {
        "SCRAM-SHA-256": SASLScram256,
        "SCRAM-SHA-512": SASLScram512,
        "PLAIN": SASLPlaintext,
        None: SASLPlaintext,
    }
    return mechanisms[settings.kafka_sasl_mechanism](
        username=settings.kafka_sasl_username or "",
        password=settings.kafka_sasl_password or "",
        ssl_context=context,
        use_ssl=context is not None,
    )


def create_broker(settings: ServiceSettings) -> KafkaBroker:
    """A broker with producer settings under which an acknowledged message is not lost (DESIGN section 4, hazard 8)."""
    broker = KafkaBroker(
        list(settings.kafka_bootstrap_servers),  # hazard 11: one comma separated string is not split
        client_id=f"readmit-{settings.service}",
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=10_000,  # new topics and partitions are seen within this
        acks="all",
        max_request_size=MAX_REQUEST_BYTES,
        enable_idempotence=settings.kafka_enable_idempotence,
        allow_auto_create_topics=False,
        graceful_timeout=KAFKA_SECONDS,
        security=security_of(settings),
        apply_types=False,
        logger=None if settings.log_level != "DEBUG" else log,
    )
    broker.config.broker_config.producer = _Producer(parser=None, decoder=None)
    return broker


class _Producer(AioKafkaFastProducerImpl):
    """FastStream drops a producer that could not start as it is: a sender task and sockets, at each try."""

    async def connect(self, producer: AIOKafkaProducer, *arguments: Any, **more: Any) -> None:
        try:
            await super().connect(producer, *arguments, **more)
        except BaseException:
            await producer.stop()
            raise


async def broker_answers(settings: ServiceSettings) -> bool:
    """Whether a connection that has nothing to do with ours gets an answer, and each partition there has a leader."""
    client = AIOKafkaClient(
        bootstrap_servers=list(settings.kafka_bootstrap_servers),
        client_id=f"readmit-{settings.service}-probe",
        request_timeout_ms=int(_PROBE_SECONDS * 1000),
        **parse_security(security_of(settings)),
    )
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await client.close()
    topics = cluster.topics(exclude_internal_topics=False)
    return all(cluster.partitions_for_topic(topic) == cluster.available_partitions_for_topic(topic) for topic in topics)


class KafkaLink:
    """Starts the broker in the background and keeps trying: a service must not depend on Kafka being there first."""

    def __init__(self, broker: KafkaBroker) -> None:
        self.broker = broker
        self.started = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._connect(), name="kafka-link")

    async def _connect(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self.broker.start()
            except (KafkaError, OSError, FastStreamException, TimeoutError) as error:
                log.warning("kafka.unreachable", error=type(error).__name__, retry_in_seconds=pause)
                await self.broker.stop()
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            except Exception as error:  # a mistake of ours: said loudly, and not a reason to be deaf for ever
                log.error("kafka.start_failed", exc_info=error)
                await self.broker.stop()
                await asyncio.sleep(_LONGEST_PAUSE)
            else:
                self.started.set()
                log.info("kafka.connected")
                return

    async def drain(self) -> None:
        """Stops the consumers when what they have in hand is done, and committed; the producer still works."""
        if self.started.is_set():
            await asyncio.gather(*(subscriber.stop() for subscriber in self.broker.subscribers))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.broker.stop()
        self.started.clear()

    async def unready(self) -> str | None:
        """Why the service is not ready, for the health page."""
        return None if self.started.is_set() else "no connection to Kafka yet"
