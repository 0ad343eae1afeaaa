import json
import socket
from pathlib import Path

import pytest

from deploy.errors import CommandError
from deploy.local.kafka_cluster import Cluster, render


def test_a_node_is_broker_and_controller_on_loopback_with_one_copy_of_everything(tmp_path: Path) -> None:
    cluster = Cluster.of(tmp_path / "kafka", 21008, 1)
    (node,) = cluster.nodes
    properties = cluster.properties(node, tmp_path / "data")
    assert node.endpoint == "127.0.0.1:21008"
    assert properties["process.roles"] == "broker,controller"
    assert properties["controller.quorum.voters"] == f"1@127.0.0.1:{node.controller_port}"
    listeners = properties["listeners"].split(",")
    assert listeners == ["PLAINTEXT://127.0.0.1:21008", f"CONTROLLER://127.0.0.1:{node.controller_port}"]
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:21008"
    assert properties["auto.create.topics.enable"] == "false"
    copies = {value for name, value in properties.items() if name.endswith((".replication.factor", "min.isr"))}
    assert copies == {"1"}


def test_three_nodes_keep_three_copies_two_of_them_in_step(tmp_path: Path) -> None:
    cluster = Cluster.of(tmp_path, 21008, 3)
    assert [node.name for node in cluster.nodes] == ["broker", "broker-2", "broker-3"]
    every_port = {port for node in cluster.nodes for port in (node.broker_port, node.controller_port)}
    assert len(every_port) == 6
    properties = [cluster.properties(node, tmp_path / str(node.id)) for node in cluster.nodes]
    assert len({each["controller.quorum.voters"] for each in properties}) == 1
    assert [each["node.id"] for each in properties] == ["1", "2", "3"]
    for each in properties:
        assert each["offsets.topic.replication.factor"] == "3"
        assert each["default.replication.factor"] == "3"
        assert each["min.insync.replicas"] == each["transaction.state.log.min.isr"] == "2"


def test_a_folder_keeps_its_cluster(tmp_path: Path) -> None:
    first = Cluster.of(tmp_path, 21008, 3)
    assert Cluster.of(tmp_path, 21008, 3) == first
    # Another base moves the first broker only.
    moved = Cluster.of(tmp_path, 31008, 3)
    assert moved.id == first.id
    assert moved.nodes[0].broker_port == 31008
    assert moved.nodes[1:] == first.nodes[1:]
    assert (tmp_path / "cluster.json").stat().st_mode & 0o777 == 0o600


def test_a_port_that_another_took_meanwhile_is_replaced_and_no_other(tmp_path: Path) -> None:
    first = Cluster.of(tmp_path, 21008, 3)
    taken = first.nodes[2].broker_port
    with socket.create_server(("127.0.0.1", taken)):
        second = Cluster.of(tmp_path, 21008, 3)
    assert second.nodes[2].broker_port != taken
    assert [node.controller_port for node in second.nodes] == [node.controller_port for node in first.nodes]
    assert second.nodes[:2] == first.nodes[:2]


def test_the_number_of_brokers_of_a_folder_does_not_change(tmp_path: Path) -> None:
    Cluster.of(tmp_path, 21008, 1)
    with pytest.raises(CommandError, match=r"a cluster of 1 broker\(s\), not of 3.*remove") as refusal:
        Cluster.of(tmp_path, 21008, 3)
    assert str(tmp_path) in str(refusal.value)
    assert refusal.value.exit_code == 2
    assert json.loads((tmp_path / "cluster.json").read_text())["brokers"] == 1


def test_properties_are_written_as_java_reads_them() -> None:
    text = render({"log.dirs": "/home/jürgen/a b\\c=d", "node.id": "1"})
    assert text == "log.dirs=/home/j\\u00fcrgen/a b\\\\c=d\nnode.id=1\n"
    # One above the basic plane is a pair of UTF-16 units.
    assert render({"a": "𝄞"}) == "a=\\ud834\\udd1e\n"
