"""Each consumer group's topics, as its service subscribes to them, have their dead letter topics declared.

A dead letter without a topic can't be published, and its outbox row would be tried for ever.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.kit.messaging.consumer import RecordConsumer
from shared.kit.service import Plumbing
from shared.schemas.registry import EVENTS
from shared.schemas.topics import Topic, dead_letter_topic, topic_of

FILE = Path(__file__).parents[3] / "deploy" / "kafka" / "topics.yaml"
SERVICES = ("intake", "enrichment", "notifier", "recovery", "audit")

# Contract section 5: topic, key and, by their beginnings, the events that are on it.
CONTRACT = {
    "readmit.identity.accounts.v1": ("account id", ("readmit.identity.account.", "readmit.identity.account-removed.")),
    "readmit.identity.activity.v1": (
        "account id, else keyed hash of the email address",
        (
            *("readmit.identity.signin-", "readmit.identity.password-", "readmit.identity.email-"),
            *("readmit.identity.two-factor-", "readmit.identity.backup-codes-"),
            *("readmit.identity.locked.", "readmit.identity.unlocked."),
        ),
    ),
    "readmit.assistance.requests.v1": (
        "keyed hash of the email address",
        ("readmit.assistance.requested.", "readmit.assistance.suppressed.", "readmit.assistance.throttled."),
    ),
    "readmit.assistance.enriched.v1": ("reference id", ("readmit.assistance.enriched.",)),
    "readmit.assistance.notifications.v1": (
        "reference id",
        ("readmit.assistance.admin-notif", "readmit.assistance.nobody-eligible."),
    ),
    "readmit.recovery.actions.v1": ("account id, else keyed hash of the email address", ("readmit.recovery.",)),
    "readmit.audit.access.v1": ("actor", ("readmit.audit.",)),
}


def pem(key: Any) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def environment(folder: Path) -> dict[str, str]:
    """Everything that any service requires; nothing of it is connected to."""
    (folder / "jwks.json").write_text(json.dumps({"keys": []}))
    key = base64.b64encode(b"k" * 32).decode()
    address = "http://127.0.0.1:20001"
    names = ("HASH_KEY", "CODE_KEY", "SESSION_KEY", "AUDIT_SUBJECT_KEY")
    return {f"READMIT_{name}": key for name in names} | {
        **{f"READMIT_{service.upper()}_DATABASE_URL": f"postgresql://u:p@/{service}" for service in SERVICES},
        **{f"READMIT_PUBLIC_{service}_URL": address for service in ("INTAKE", "RECOVERY", "AUDIT")},
        "READMIT_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "READMIT_AUTH_JWKS": str(folder / "jwks.json"),
        "READMIT_AUTH_ISSUER": "https://issuer.example",
        "READMIT_SMTP_URL": "smtp://127.0.0.1:1",
        "READMIT_MAIL_FROM": "readmit@example.org",
        "READMIT_GRANT_KEY": pem(ec.generate_private_key(ec.SECP256R1())),
        "READMIT_AUDIT_SIGNING_KEY": pem(Ed25519PrivateKey.generate()),
        "READMIT_AUDIT_ORIGIN": "example.org/readmit",
        "READMIT_IDENTITY_CONTINUE_URL": address,
        "READMIT_IDENTITY_AUDIENCE": address,
    }


def declared() -> dict[str, set[str]]:
    groups = yaml.safe_load(FILE.read_text("utf-8"))["dead_letters"]["groups"]
    assert len({item["group"] for item in groups}) == len(groups)
    return {item["group"]: set(item["topics"]) for item in groups}


@pytest.fixture(scope="module")
def subscribed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Service -> consumer group -> its topics or pattern, by building each service and starting none."""
    values = environment(tmp_path_factory.mktemp("settings"))
    found: dict[str, dict[str, Any]] = {service: {} for service in SERVICES}
    with pytest.MonkeyPatch.context() as patch:
        for service in SERVICES:

            def consume(
                _: Plumbing,
                consumer: RecordConsumer,
                *,
                topics: Sequence[str] = (),
                pattern: str | None = None,
                groups: dict[str, Any] = found[service],
            ) -> None:
                groups[consumer.group] = pattern or set(topics)

            patch.setattr(Plumbing, "consume", consume)
            module = importlib.import_module(f"services.{service}.bootstrap")
            settings = importlib.import_module(f"services.{service}.settings")
            own = getattr(settings, f"{service.capitalize()}Settings")
            module.bootstrap(own.load(values))
    return found


@pytest.mark.parametrize("service", [service for service in SERVICES if service != "audit"])
def test_dead_letter_topics_are_those_of_the_subscriptions(service: str, subscribed: dict[str, dict[str, Any]]) -> None:
    groups = declared()
    for group, topics in subscribed[service].items():
        assert group == f"{service}.events"
        assert topics == groups[group], f"topics.yaml and {service} differ about dead letters of {group}"


def test_every_declared_group_is_one_that_subscribes(subscribed: dict[str, dict[str, Any]]) -> None:
    assert set(declared()) == {group for service in SERVICES if service != "audit" for group in subscribed[service]}


def test_the_topics_and_their_keys_are_the_contracts() -> None:
    topics = yaml.safe_load(FILE.read_text("utf-8"))["topics"]
    assert {item["name"]: item["key"] for item in topics} == {name: key for name, (key, _) in CONTRACT.items()}
    assert {str(topic) for topic in Topic} == set(CONTRACT)


def test_each_event_is_on_the_topic_that_the_contract_names() -> None:
    placed = {type_: topic_of(type_) for type_ in EVENTS}
    contract = {
        type_: [topic for topic, (_, beginnings) in CONTRACT.items() if type_.startswith(beginnings)]
        for type_ in placed
    }
    assert {type_: [str(topic)] for type_, topic in placed.items()} == contract


def test_audit_reads_every_topic_and_no_dead_letters(subscribed: dict[str, dict[str, Any]]) -> None:
    (pattern,) = subscribed["audit"].values()
    assert all(re.match(pattern, topic) for topic in [*Topic, "readmit.something.new.v1"])
    letters = [dead_letter_topic(topic, group) for group, topics in declared().items() for topic in topics]
    assert letters
    assert not any(re.match(pattern, topic) for topic in [*letters, "other.readmit.x.v1", "__consumer_offsets"])
