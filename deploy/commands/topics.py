"""`readmit topics apply`: the topics that `deploy/kafka/topics.yaml` declares."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from aiokafka.errors import KafkaError

from deploy.commands.kafka import bootstrap_servers, security
from deploy.errors import USAGE, CommandError
from deploy.local.overrides import Overrides
from shared.kit.messaging.topics import TopicError, apply_topics

DECLARATION = Path(__file__).resolve().parents[1] / "kafka" / "topics.yaml"


def apply(environ: Mapping[str, str]) -> None:
    """Create what is missing, grow what is too small, and say what was done."""
    replication = Overrides(environ).value("KAFKA_REPLICATION_FACTOR")
    if replication and not replication.isdecimal():
        raise CommandError("READMIT_KAFKA_REPLICATION_FACTOR must be a number", exit_code=USAGE)
    servers = bootstrap_servers(environ)
    applying = apply_topics(
        servers,
        DECLARATION,
        replication_factor=int(replication) if replication else None,
        **security(environ),
    )
    try:
        changes = asyncio.run(applying)
    except (KafkaError, TopicError, OSError) as error:
        raise CommandError(f"the topics cannot be applied on {','.join(servers)}: {error}") from error
    for change in changes:
        print(change)
    if not changes:
        print("topics: nothing to change")
