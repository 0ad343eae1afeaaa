"""`deploy/kafka/topics.yaml` names the topics that the code publishes to, and lets all of them forget."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.schemas.topics import Topic

FILE = Path(__file__).parents[3] / "deploy" / "kafka" / "topics.yaml"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


def test_each_topic_is_there_once_with_its_key_and_partitions(document: dict[str, Any]) -> None:
    assert sorted(topic["name"] for topic in document["topics"]) == sorted(Topic)
    for topic in document["topics"]:
        assert topic["partitions"] >= 1
        assert topic["key"]


def test_nothing_is_kept_for_ever(document: dict[str, Any]) -> None:
    """A compacted topic, or one without a limit, would keep what an erased person's events held."""
    blocks = [document["defaults"], document["dead_letters"], *document["topics"]]
    for block in blocks:
        settings = {**document["defaults"]["config"], **block.get("config", {})}
        assert settings["cleanup.policy"] == "delete"
        assert 0 < settings["retention.ms"] <= 30 * 24 * 3600 * 1000


def test_dead_letters_are_of_topics_that_exist_and_never_of_audit(document: dict[str, Any]) -> None:
    for group in document["dead_letters"]["groups"]:
        assert set(group["topics"]) <= set(Topic)
        assert not group["group"].startswith("audit")
