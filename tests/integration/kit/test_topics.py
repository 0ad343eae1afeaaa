"""Applying the declared topics to a real broker."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion

from shared.kit.messaging.topics import TopicError, apply_topics, read_topics


def declare(file: Path, *, partitions: int = 2, retention: int = 3_600_000) -> str:
    """Writes a declaration with one topic of a unique name and its dead letters."""
    name = f"readmit.test.{secrets.token_hex(4)}.v1" if not file.exists() else read_topics(file)[0].name
    document: dict[str, Any] = {
        "defaults": {"replication_factor": 1, "config": {"cleanup.policy": "delete", "retention.ms": retention}},
        "topics": [{"name": name, "partitions": partitions, "config": {"max.message.bytes": 2000}}],
        "dead_letters": {
            "partitions": 1,
            "config": {"retention.ms": retention * 2},
            "groups": [{"group": "toy.events", "topics": [name]}],
        },
    }
    file.write_text(yaml.safe_dump(document))
    return name


async def partitions(servers: list[str], *names: str) -> list[int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        described = {item["topic"]: len(item["partitions"]) for item in await admin.describe_topics(list(names))}
        return [described[name] for name in names]
    finally:
        await admin.close()


async def test_what_is_missing_is_created_once(kafka_servers: list[str], tmp_path: Path) -> None:
    name = declare(tmp_path / "topics.yaml")
    letters = f"{name}.toy.events.dlt"
    assert await apply_topics(kafka_servers, tmp_path / "topics.yaml") == [
        f"created {name} (2 partitions)",
        f"created {letters} (1 partitions)",
    ]
    assert await partitions(kafka_servers, name, letters) == [2, 1]
    assert await apply_topics(kafka_servers, tmp_path / "topics.yaml") == [], "idempotent"


async def test_partitions_are_added_and_never_taken_away(kafka_servers: list[str], tmp_path: Path) -> None:
    file = tmp_path / "topics.yaml"
    name = declare(file)
    await apply_topics(kafka_servers, file)
    declare(file, partitions=3)
    (line,) = await apply_topics(kafka_servers, file)
    if "can't add" in line:
        assert await partitions(kafka_servers, name) == [2]
        pytest.skip("this broker adds no partitions; the stand-in below does")
    assert line == f"grew {name} to 3 partitions"
    assert await partitions(kafka_servers, name) == [3]
    declare(file, partitions=1)
    assert await apply_topics(kafka_servers, file) == []
    assert await partitions(kafka_servers, name) == [3]


async def test_another_configuration_is_set_or_said_to_be_impossible(kafka_servers: list[str], tmp_path: Path) -> None:
    file = tmp_path / "topics.yaml"
    name = declare(file)
    await apply_topics(kafka_servers, file)
    declare(file, retention=7_200_000)
    lines = await apply_topics(kafka_servers, file)
    assert any(line.startswith((f"configured {name}", f"{name} keeps its configuration")) for line in lines)


class Admin:
    """A cluster as Apache Kafka answers: it can alter; what it says about configurations may be unreadable."""

    present: dict[str, dict[str, str]] | None = {}  # noqa: RUF012  # replaced, not changed
    refuse = 0
    old = False

    def __init__(self) -> None:
        self.altered: list[ConfigResource] = []
        self.grown: dict[str, int] = {}

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def list_topics(self) -> list[str]:
        return list(self.present or {}) or ["a", "a.toy.events.dlt"]

    async def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"topic": name, "partitions": [0, 1, 2]} for name in names]

    async def create_partitions(self, wanted: dict[str, NewPartitions]) -> None:
        self.grown = {name: item.total_count for name, item in wanted.items()}

    async def describe_configs(self, resources: list[ConfigResource]) -> list[Any]:
        if self.present is None:
            raise ValueError("Buffer underrun")
        found = [(0, None, 2, item.name, list(self.present[item.name].items())) for item in resources]
        return [type("Answer", (), {"resources": found})]

    async def alter_configs(self, resources: list[ConfigResource]) -> list[Any]:
        if self.old:
            raise IncompatibleBrokerVersion
        self.altered += resources
        return [type("Answer", (), {"resources": [(self.refuse, "no", 2, item.name) for item in resources]})]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Admin:
    admin = Admin()
    monkeypatch.setattr("shared.kit.messaging.topics.AIOKafkaAdminClient", lambda **_: admin)
    text = "{defaults: {config: {retention.ms: 5}}, topics: [{name: a, partitions: 3}], dead_letters: {groups: []}}"
    (tmp_path / "topics.yaml").write_text(text)
    return admin


async def test_a_configuration_that_differs_is_altered(cluster: Admin, tmp_path: Path) -> None:
    cluster.present = {"a": {"retention.ms": "6", "other": "1"}}
    assert await apply_topics(["x"], tmp_path / "topics.yaml") == ["configured a"]
    (altered,) = cluster.altered
    assert (altered.name, altered.resource_type, altered.configs) == (
        "a",
        ConfigResourceType.TOPIC,
        {"retention.ms": "5"},
    )
    cluster.present = {"a": {"retention.ms": "5", "other": "1"}}
    assert await apply_topics(["x"], tmp_path / "topics.yaml") == []
    assert len(cluster.altered) == 1


async def test_partitions_are_added_where_there_are_too_few(cluster: Admin, tmp_path: Path) -> None:
    cluster.present = {"a": {"retention.ms": "5"}}
    file = tmp_path / "topics.yaml"
    for declared, lines in ((2, []), (3, []), (7, ["grew a to 7 partitions"])):
        file.write_text(f"{{topics: [{{name: a, partitions: {declared}, config: {{retention.ms: 5}}}}]}}")
        assert await apply_topics(["x"], file) == lines
    assert cluster.grown == {"a": 7}


async def test_a_configuration_that_can_not_be_read_is_written_anyway(cluster: Admin, tmp_path: Path) -> None:
    """Hazard 18: `describe_configs` fails on what some brokers answer."""
    cluster.present = None
    assert await apply_topics(["x"], tmp_path / "topics.yaml") == []
    assert [item.configs for item in cluster.altered] == [{"retention.ms": "5"}]


async def test_a_refusal_is_an_error_and_a_broker_that_cannot_is_a_note(cluster: Admin, tmp_path: Path) -> None:
    cluster.present = {"a": {"retention.ms": "6"}}
    cluster.refuse = 40
    with pytest.raises(TopicError, match="topic a was refused"):
        await apply_topics(["x"], tmp_path / "topics.yaml")
    cluster.old = True
    assert await apply_topics(["x"], tmp_path / "topics.yaml") == [
        "a keeps its configuration: this broker can't change it"
    ]


async def test_three_copies_count_once_two_are_written(cluster: Admin, tmp_path: Path) -> None:
    cluster.present = None
    for factor, least in ((1, None), (2, None), (3, "2"), (5, "2")):
        await apply_topics(["x"], tmp_path / "topics.yaml", replication_factor=factor)
        assert cluster.altered[-1].configs.get("min.insync.replicas") == least


async def test_the_replication_factor_can_be_overridden(kafka_servers: list[str], tmp_path: Path) -> None:
    file = tmp_path / "topics.yaml"
    declare(file)
    assert await apply_topics(kafka_servers, file, replication_factor=1)
    assert {topic.replication_factor for topic in read_topics(file)} == {1}
