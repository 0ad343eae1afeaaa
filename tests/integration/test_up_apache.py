"""`readmit up --kafka apache`: Apache Kafka instead of the embedded broker. Skipped without Java and Maven."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.integration.up_stubs.running import EXTERNAL, Running, eventually
from tests.requirements import require_kafka_tools
from tests.stack import Stack, account, running_stack
from tests.stack import eventually as until

pytestmark = pytest.mark.faults  # three JVMs beside the suite would take its time
APACHE = ("--kafka", "apache")
READY = 120.0  # seconds for three JVMs beside other tests; alone it takes 8


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Running]:
    require_kafka_tools()
    running = Running(folder=tmp_path / "var")
    yield running
    running.clean_up()


@pytest_asyncio.fixture
async def services(tmp_path: Path) -> AsyncIterator[Stack]:
    require_kafka_tools()
    async with running_stack(tmp_path, options=APACHE) as running:
        yield running


async def create(servers: str, topic: str, copies: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.split(","))
    await admin.start()
    try:
        least = {"min.insync.replicas": str(min(copies, 2))}
        await admin.create_topics([NewTopic(topic, 1, copies, topic_configs=least)])
    finally:
        await admin.close()


async def write(servers: str, topic: str, *values: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=servers.split(","), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value.encode())
    finally:
        await producer.stop()


async def read(servers: str, topic: str, count: int) -> list[str]:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers.split(","), auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(30):
            return [(await consumer.getone()).value.decode() for _ in range(count)]
    finally:
        await consumer.stop()


def kill_broker(stack: Running, name: str = "broker") -> None:
    os.kill(stack.pid(name), signal.SIGKILL)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_what_it_took_is_there_after_its_death_and_after_a_stop(stack: Running) -> None:
    stack.flags = APACHE
    ready = stack.start().until_ready(READY).ready()
    assert ready["kafka"] == f"127.0.0.1:{stack.port_base + 8}"
    assert sorted(stack.called()) == ["migrate", "topics apply"]
    asyncio.run(create(ready["kafka"], "kept", copies=1))
    asyncio.run(write(ready["kafka"], "kept", "one"))

    before, _ = stack.kill("broker")
    eventually(lambda: listening(stack.port_base + 8), limit=READY)
    assert stack.pid("broker") != before
    asyncio.run(write(ready["kafka"], "kept", "two"))

    code, seconds, _ = stack.stop()
    assert code == 0
    assert seconds < 15
    assert not listening(stack.port_base + 8)
    controllers = json.loads((stack.folder / "kafka" / "cluster.json").read_text())["ports"]
    stack.start().until_ready(READY)
    assert json.loads((stack.folder / "kafka" / "cluster.json").read_text())["ports"] == controllers
    assert asyncio.run(read(ready["kafka"], "kept", 2)) == ["one", "two"]
    # It forgot nothing, so nothing is published again.
    assert "replay" not in stack.called()
    stack.stop()

    # What another broker took in between is missing here: then the ledgers are asked.
    stack.flags = ()
    stack.start().until_ready().stop()
    stack.flags = APACHE
    calls = len(stack.called())
    stack.start().until_ready(READY)
    assert "replay" in stack.called()[calls:]


def test_any_one_of_three_brokers_may_die(stack: Running) -> None:
    stack.flags = (*APACHE, "--brokers", "3")
    ready = stack.start().until_ready(READY).ready()
    servers = ready["kafka"].split(",")
    assert len(set(servers)) == 3
    assert servers[0] == f"127.0.0.1:{stack.port_base + 8}"
    assert {"broker", "broker-2", "broker-3"} <= set(ready["pids"])
    written = ["0"]
    asyncio.run(create(ready["kafka"], "kept", copies=3))
    asyncio.run(write(ready["kafka"], "kept", "0"))
    for name, server in zip(("broker", "broker-2", "broker-3"), servers, strict=True):
        kill_broker(stack, name)
        others = ",".join(other for other in servers if other != server)
        asyncio.run(write(others, "kept", name))
        written.append(name)
        port = int(server.rpartition(":")[2])
        eventually(lambda port=port: listening(port), limit=READY)  # type: ignore[misc]
    for server in servers:
        assert asyncio.run(read(server, "kept", 4)) == written
    code, seconds, _ = stack.stop()
    assert code == 0
    assert seconds < 15


def test_a_taken_port_and_a_wrong_number_of_brokers_are_refused(stack: Running) -> None:
    stack.flags = APACHE
    with socket.create_server(("127.0.0.1", stack.port_base + 8)):
        code, said = stack.start().end()
    assert code == 2
    assert f"port {stack.port_base + 8} (Kafka) is taken" in said
    for flags, complaint in (
        ((*APACHE, "--brokers", "2"), "--brokers is 1 or 3"),
        (("--brokers", "3"), "needs --kafka apache"),
    ):
        stack.flags = flags
        code, said = stack.start().end()
        assert code == 2
        assert complaint in said


def test_without_java_it_says_what_is_missing(stack: Running, tmp_path: Path) -> None:
    stack.flags = APACHE
    if setpriv := shutil.which("setpriv"):  # PostgreSQL's, for root
        (tmp_path / "setpriv").symlink_to(setpriv)
    stack.environ = EXTERNAL | {"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path / "jdk")}
    code, said = stack.start().end()
    assert code == 1
    assert f"JAVA_HOME {tmp_path / 'jdk'}: none; PATH: none" in said


async def test_requests_reach_the_mailbox_though_the_broker_dies(services: Stack) -> None:
    await services.post_events(account("admin-1", "admin-1@example.org", data_protection_access=1))
    await services.post_events(account("person-1", "person-1@example.org"))
    first = await services.request_help("person-1@example.org")
    await until(lambda: services.mailbox.about(first), 30, "the message about the first request")

    os.kill(services.ready["pids"]["broker"], signal.SIGKILL)
    during = [await services.request_help(f"person-{n}@example.org", ip=f"198.51.100.{n}") for n in range(2, 12)]

    def all_there() -> bool:
        return all(services.mailbox.about(reference) for reference in during)

    await until(all_there, 60, "messages about what was accepted while the broker was away")
    told = {reference: len(services.mailbox.about(reference)) for reference in [first, *during]}
    assert set(told.values()) == {1}, told
    types: list[Any] = [record["type"] for record in await services.records(f"ref:{during[0]}")]
    assert "readmit.assistance.requested.v1" in types
