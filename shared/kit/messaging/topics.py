"""Creating and updating the Kafka topics that `deploy/kafka/topics.yaml` declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from shared.kit.logging import get_logger

log = get_logger(__name__)

_TOPIC_EXISTS = 36  # Kafka protocol error code TOPIC_ALREADY_EXISTS


class TopicError(Exception):
    """The cluster refused a topic; the message holds its name and the broker's answer."""


def read_topics(path: Path) -> list[NewTopic]:
    """The declared topics: `topics` (name, partitions, replication_factor, config), dead letter topics included."""
    document = yaml.safe_load(path.read_text("utf-8"))
    topics = [_new_topic(item["name"], item, document.get("defaults", {})) for item in document["topics"]]
    dead_letters = document.get("dead_letters", {})
    for consumer in dead_letters.get("groups", []):
        for topic in consumer["topics"]:
            name = f"{topic}.{consumer['group']}.dlt"
            topics.append(_new_topic(name, dead_letters, document.get("defaults", {})))
    return topics


def _new_topic(name: str, item: dict[str, Any], defaults: dict[str, Any]) -> NewTopic:
    merged = {**defaults, **{key: value for key, value in item.items() if value is not None}}
    config = {**defaults.get("config", {}), **item.get("config", {})}
    return NewTopic(
        name=name,
        num_partitions=int(merged.get("partitions", 1)),
        replication_factor=int(merged.get("replication_factor", 1)),
        topic_configs={key: str(value) for key, value in config.items()},
    )


def _replicated(topic: NewTopic, factor: int) -> NewTopic:
    topic.replication_factor = factor
    if factor >= 3:
        # With one copy in sync acknowledged would mean nothing; with all of them no broker could be missed.
        least = max(2, int(topic.topic_configs.get("min.insync.replicas", 1)))
        topic.topic_configs["min.insync.replicas"] = str(least)
    return topic


async def apply_topics(
    bootstrap_servers: list[str], path: Path, *, replication_factor: int | None = None, **connection: Any
) -> list[str]:
    """Creates the topics that are missing, adds partitions where there are too few, and sets their configuration to the
    declared one (what is not declared goes back to the broker's default). Idempotent.

    Args:
        bootstrap_servers: brokers as `host:port`.
        path: the declaration.
        replication_factor: overrides the declared one; with three copies or more, two have to be written before a
            message is acknowledged.
        connection: security arguments of aiokafka's admin client.

    Returns:
        What was done, a line a change; also what the broker can't do.

    Raises:
        TopicError: the cluster refused.
    """
    declared = read_topics(path)
    if replication_factor is not None:
        declared = [_replicated(topic, replication_factor) for topic in declared]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, client_id="readmit-topics", **connection)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        return [
            *await _create(admin, [topic for topic in declared if topic.name not in existing]),
            *await _grow(admin, [topic for topic in declared if topic.name in existing]),
            *await _configure(admin, [topic for topic in declared if topic.name in existing]),
        ]
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> list[str]:
    if not topics:
        return []
    answer = await admin.create_topics(topics)
    for name, code, *message in answer.topic_errors:
        if code not in {0, _TOPIC_EXISTS}:
            raise TopicError(f"topic {name} was refused: {message[0] if message and message[0] else f'error {code}'}")
    return [f"created {topic.name} ({topic.num_partitions} partitions)" for topic in topics]


async def _grow(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> list[str]:
    if not topics:
        return []
    wanted = {topic.name: topic.num_partitions for topic in topics}
    described = await admin.describe_topics(list(wanted))
    counts = {item["topic"]: len(item["partitions"]) for item in described}
    grow = {
        name: NewPartitions(total_count=count) for name, count in wanted.items() if 0 < counts.get(name, count) < count
    }
    if not grow:
        return []
    try:
        await admin.create_partitions(grow)
    except IncompatibleBrokerVersion:
        return [f"{name} keeps {counts[name]} partitions: this broker can't add any" for name in grow]
    except KafkaError as error:
        raise TopicError(str(error)) from None
    return [f"grew {name} to {wanted[name]} partitions" for name in grow]


async def _configure(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> list[str]:
    if not topics:
        return []
    present = await _configurations(admin, topics)
    changes = {
        topic.name: topic.topic_configs
        for topic in topics
        # What can't be read is written again: the outcome is the same.
        if present is None or not topic.topic_configs.items() <= present.get(topic.name, {}).items()
    }
    if not changes:
        return []
    try:
        answers = await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, configs) for name, configs in changes.items()]
        )
    except IncompatibleBrokerVersion:
        return [f"{name} keeps its configuration: this broker can't change it" for name in changes if present]
    for answer in answers:
        for code, message, _, name in answer.resources:
            if code:
                raise TopicError(f"the configuration of topic {name} was refused: {message or f'error {code}'}")
    return [f"configured {name}" for name in changes if present is not None]


async def _configurations(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> dict[str, dict[str, str]] | None:
    """What the topics are configured to now; None where aiokafka can't read the broker's answer (hazard 18)."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    try:
        answers = await admin.describe_configs(resources)
        found = [resource for answer in answers for resource in answer.resources]
        return {item[3]: {entry[0]: str(entry[1]) for entry in item[4]} for item in found if item[0] == 0}
    except Exception as error:  # ValueError, IndexError, ConnectionError: whatever its parser stumbles over
        log.info("topics.configuration_unreadable", error=type(error).__name__)
        return None
