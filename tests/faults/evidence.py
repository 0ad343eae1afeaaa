"""What the checks look at, read once after the load: the client's own list, the mailbox, the databases, the broker.

The databases are read by the URLs of `ready.json`, with the roles that the services use.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.faults.inbox import Mail
from tests.faults.journal import read_journal
from tests.faults.killer import SERVICES, Kill
from tests.stack import ROOT, Stack

EventKey = tuple[str, str]  # (source, id)
REQUESTED = "readmit.assistance.requested.v1"
_ROWS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Published:
    """One row of a service's ledger; of its bytes, what identifies them."""

    service: str
    type: str
    digest: bytes  # HMAC-SHA-256 of the bytes, as audit keeps it
    reference: str | None = None
    admin: str | None = None
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """That an administrator is told of a request, and how far its message is."""

    reference: str
    admin: str
    state: str
    message_id: str
    copies: int = 1  # rows that say the same


@dataclass
class Evidence:
    """The end state of a run. Plain data, so that a test can break any of it."""

    # The client's list.
    accepted: dict[str, str] = field(default_factory=dict)  # reference: address
    unknown: set[str] = field(default_factory=set)  # addresses whose request has no known outcome
    keyed: set[str] = field(default_factory=set)  # addresses that asked again under the same key
    refused: list[str] = field(default_factory=list)  # what was answered other than 202 and 503
    events: dict[str, dict[str, Any]] = field(default_factory=dict)  # accepted identity events by id
    actions: dict[str, str] = field(default_factory=dict)  # action id: account
    redeemed: set[str] = field(default_factory=set)
    not_redeemed: list[str] = field(default_factory=list)
    # The mail server and the kills.
    mails: list[Mail] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    eligible: dict[str, str] = field(default_factory=dict)  # account id: address
    # The services.
    requests: set[str] = field(default_factory=set)  # references in intake's table
    addresses: dict[str, list[str]] = field(default_factory=dict)  # address: references that were published of it
    ledger: dict[EventKey, Published] = field(default_factory=dict)
    recorded: dict[EventKey, list[bytes]] = field(default_factory=dict)  # audit's digests
    inboxes: dict[str, set[EventKey]] = field(default_factory=dict)
    handled: dict[str, set[str]] = field(default_factory=dict)  # event types by consuming service
    notifications: list[Notification] = field(default_factory=list)
    signins: dict[str, int] = field(default_factory=dict)  # by account, as enrichment counted them
    names: dict[str, str] = field(default_factory=dict)  # by account, as recovery knows them
    action_states: dict[str, str] = field(default_factory=dict)
    recovery_mails: list[tuple[str, str, str, int]] = field(
        default_factory=list
    )  # address, message id, state, attempts
    # The log.
    leaves: list[tuple[int, bytes, bytes]] = field(default_factory=list)  # index, leaf hash, SHA-256 of 0 and entry
    checkpoint: tuple[int, bytes] = (0, b"")
    places: Counter[tuple[str, int, int, int]] = field(default_factory=Counter)  # topic, partition, incarnation, offset
    positions: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)  # incarnation, next offset
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)  # log lines about offsets that never came
    # Whether it came to rest.
    outbox: dict[str, int] = field(default_factory=dict)
    lag: dict[str, int] = field(default_factory=dict)
    dead_letters: list[str] = field(default_factory=list)
    settled_after: float | None = None


def read_client(journal: Path, evidence: Evidence) -> None:
    """The client's own list."""
    for line in read_journal(journal):
        match line["kind"]:
            case "request":
                evidence.accepted[line["reference"]] = line["address"]
                if line["keyed"]:
                    evidence.keyed.add(line["address"])
            case "unknown":
                evidence.unknown.add(line["address"])
            case "refused":
                evidence.refused.append(f"{line['what']}: {line['status']}")
            case "event":
                evidence.events[line["id"]] = line["event"]
            case "action":
                evidence.actions[line["action"]] = line["patient"]
            case "redeemed":
                evidence.redeemed.add(line["action"])
            case "not redeemed":
                evidence.not_redeemed.append(f"{line['action']}: {line['status']}")


async def read_services(stack: Stack, hash_key: str, evidence: Evidence) -> None:
    """The databases and audit's own log file."""
    key = base64.b64decode(hash_key)
    evidence.handled = handled_types()
    async with AsyncExitStack() as connections:
        databases = {}
        for service in SERVICES:
            connection = await asyncpg.connect(stack.ready["databases"][service])
            connections.push_async_callback(connection.close)
            databases[service] = connection
            await _read_ledger(service, connection, key, evidence)
            rows = await connection.fetch("SELECT source, event_id FROM inbox")
            evidence.inboxes[service] = {(row["source"], row["event_id"]) for row in rows}
        evidence.requests = {
            row["reference_id"] for row in await databases["intake"].fetch("SELECT reference_id FROM requests")
        }
        await _read_notifier(databases["notifier"], evidence)
        await _read_projections(databases["enrichment"], databases["recovery"], evidence)
        await _read_audit(databases["audit"], evidence)
    for path in sorted((stack.folder / "logs").glob("audit.log*")):
        evidence.skipped += [
            line for line in path.read_text(errors="replace").splitlines() if "offsets_skipped" in line
        ]


async def _read_ledger(service: str, connection: asyncpg.Connection[Any], key: bytes, evidence: Evidence) -> None:
    async with connection.transaction():
        cursor = await connection.cursor("SELECT source, event_id, type, topic, value FROM ledger ORDER BY id")
        while rows := await cursor.fetch(_ROWS_AT_ONCE):
            for row in rows:
                if row["topic"].endswith(".dlt"):
                    evidence.dead_letters.append(f"{row['topic']} {row['event_id']}")
                    continue
                evidence.ledger[row["source"], row["event_id"]] = published(service, row["type"], row["value"], key)
                if row["type"] == REQUESTED:
                    data = json.loads(row["value"])["data"]
                    evidence.addresses.setdefault(data["email"], []).append(data["reference_id"])
            await asyncio.sleep(0)


def published(service: str, type_: str, value: bytes, key: bytes) -> Published:
    digest = hmac.digest(key, b"message\x00" + value, hashlib.sha256)
    if service == "intake" and not type_.startswith("readmit.assistance."):
        return Published(service, type_, digest)
    data = json.loads(value)["data"]
    return Published(service, type_, digest, data.get("reference_id"), data.get("admin"), data.get("action_id"))


async def _read_notifier(connection: asyncpg.Connection[Any], evidence: Evidence) -> None:
    rows = await connection.fetch("""
        SELECT reference_id, notifications.admin, state, message_id, count(*) AS copies
        FROM notifications LEFT JOIN deliveries ON deliveries.id = delivery_id GROUP BY 1, 2, 3, 4
    """)
    evidence.notifications = [
        Notification(row["reference_id"], row["admin"], row["state"] or "", row["message_id"] or "", row["copies"])
        for row in rows
    ]


async def _read_projections(
    enrichment: asyncpg.Connection[Any], recovery: asyncpg.Connection[Any], evidence: Evidence
) -> None:
    rows = await enrichment.fetch("SELECT account_id, sum(count) AS n FROM seen WHERE kind = 'ip' GROUP BY 1")
    evidence.signins = {row["account_id"]: int(row["n"]) for row in rows}
    rows = await recovery.fetch("SELECT account_id, display_name FROM known_accounts")
    evidence.names = {row["account_id"]: row["display_name"] for row in rows}
    rows = await recovery.fetch("SELECT action_id, status FROM actions")
    evidence.action_states = {row["action_id"]: row["status"] for row in rows}
    rows = await recovery.fetch("""
        SELECT coalesce(recipient, known_accounts.email) AS address, message_id, mails.status, attempts
        FROM mails JOIN actions USING (action_id) LEFT JOIN known_accounts USING (account_id)
    """)
    evidence.recovery_mails = [
        (row["address"], row["message_id"] or "", row["status"], row["attempts"]) for row in rows
    ]


async def _read_audit(connection: asyncpg.Connection[Any], evidence: Evidence) -> None:
    recorded: defaultdict[EventKey, list[bytes]] = defaultdict(list)
    for row in await connection.fetch("SELECT source, event_id, message_hash FROM event_keys"):
        recorded[row["source"], row["event_id"]].append(row["message_hash"])
    evidence.recorded = dict(recorded)
    async with connection.transaction():
        cursor = await connection.cursor(
            'SELECT index, leaf_hash, entry, topic, partition, incarnation, "offset" FROM entries ORDER BY index'
        )
        while rows := await cursor.fetch(_ROWS_AT_ONCE):
            for row in rows:
                derived = hashlib.sha256(b"\x00" + row["entry"]).digest()
                evidence.leaves.append((row["index"], row["leaf_hash"], derived))
                evidence.places[row["topic"], row["partition"], row["incarnation"], row["offset"]] += 1
            await asyncio.sleep(0)
    head = await connection.fetchrow("SELECT size, root FROM checkpoints ORDER BY size DESC LIMIT 1")
    assert head is not None
    evidence.checkpoint = (head["size"], head["root"])
    for row in await connection.fetch("SELECT * FROM positions"):
        evidence.positions[row["topic"], row["partition"]] = (row["incarnation"], row["next_offset"])


def handled_types() -> dict[str, set[str]]:
    """Which service handles which types, from the published description of the event interface."""
    document = json.loads((ROOT / "docs" / "asyncapi.json").read_text())
    handled: defaultdict[str, set[str]] = defaultdict(set)
    for name, operation in document["operations"].items():
        service = name.partition(".")[0]
        if operation["action"] == "receive" and service != "audit":  # audit keeps its own marks
            handled[service] |= {message["$ref"].rpartition("/")[2] for message in operation["messages"]}
    return dict(handled)


class Rest:
    """Asks how much is still on its way: rows in the outboxes, records that a group has not committed."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._topics: dict[str, list[str]] = {}
        document = json.loads((ROOT / "docs" / "asyncapi.json").read_text())
        for name, operation in document["operations"].items():
            service, action, topic = name.split(".", 2)
            if operation["action"] == "receive" and action == "receive":
                self._topics.setdefault(f"{service}.events", []).append(topic)

    async def outbox(self) -> dict[str, int]:
        return dict(zip(SERVICES, await asyncio.gather(*map(self._outbox_of, SERVICES)), strict=True))

    async def _outbox_of(self, service: str) -> int:
        connection = await asyncpg.connect(self._stack.ready["databases"][service])
        try:
            return int(await connection.fetchval("SELECT count(*) FROM outbox"))
        finally:
            await connection.close()

    async def lag(self) -> dict[str, int]:
        """By consumer group. A group that has not committed lags behind by all there is."""
        return {group: sum((await self._lags(group, topics)).values()) for group, topics in self._topics.items()}

    async def _lags(self, group: str, topics: Iterable[str]) -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._stack.ready["kafka"].split(","), group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = await self._partitions(consumer, topics)
            ends = await consumer.end_offsets(partitions)
            return {
                partition: max(0, ends[partition] - (await consumer.committed(partition) or 0))
                for partition in partitions
            }
        finally:
            await consumer.stop()

    async def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last record of each partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._stack.ready["kafka"].split(","))
        await consumer.start()
        try:
            topics = {topic for names in self._topics.values() for topic in names}
            ends = await consumer.end_offsets(await self._partitions(consumer, topics))
            return {(partition.topic, partition.partition): end for partition, end in ends.items()}
        finally:
            await consumer.stop()

    @staticmethod
    async def _partitions(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> list[TopicPartition]:
        await consumer.topics()  # has the metadata of all topics fetched
        return [
            TopicPartition(topic, number)
            for topic in topics
            for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]
