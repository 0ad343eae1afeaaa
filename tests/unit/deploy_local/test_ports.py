import socket

import pytest

from deploy.errors import CommandError, PortTakenError
from deploy.local.overrides import Overrides
from deploy.local.ports import HOST, Ports
from deploy.local.stack import used_ports
from tests.integration.up_stubs.ports import free_port_base


def test_ports_are_those_of_the_contract() -> None:
    ports = Ports(8100)
    assert {name: ports.of(name) for name in ("identity", "intake", "enrichment", "notifier", "recovery")} == {
        "identity": 8100,
        "intake": 8101,
        "enrichment": 8102,
        "notifier": 8103,
        "recovery": 8104,
    }
    assert [ports.of(name) for name in ("audit", "mailbox", "smtp", "kafka")] == [8105, 8106, 8107, 8108]


def test_a_taken_port_is_named_with_its_use() -> None:
    ports = Ports(free_port_base())
    with socket.create_server((HOST, ports.of("audit"))), pytest.raises(PortTakenError) as refusal:
        ports.require_free({"intake": "intake", "audit": "audit"})
    assert f"port {ports.of('audit')} (audit) is taken" in str(refusal.value)
    assert refusal.value.exit_code == 2


def test_a_port_in_time_wait_is_free() -> None:
    ports = Ports(free_port_base())
    with (
        socket.create_server((HOST, ports.of("intake"))) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        accepted, _ = server.accept()
        accepted.close()  # closes first, hence it is this end that goes to TIME_WAIT
        assert client.recv(1) == b""
    ports.require_free({"intake": "intake"})


@pytest.mark.parametrize("base", [0, -1, 65530])
def test_a_base_out_of_range_is_refused(base: int) -> None:
    with pytest.raises(CommandError, match="out of range"):
        Ports(base)


@pytest.mark.parametrize(
    ("environ", "demo", "unused"),
    [
        ({}, True, set()),
        ({}, False, {"identity", "mailbox", "smtp"}),
        ({"READMIT_SMTP_URL": "smtp://mail.example.org"}, True, {"mailbox", "smtp"}),
        ({"READMIT_SMTP_URL_FILE": "/run/secrets/smtp"}, True, {"mailbox", "smtp"}),
        ({"READMIT_KAFKA_BOOTSTRAP_SERVERS": "kafka.example.org:9092"}, True, {"kafka"}),
    ],
)
def test_only_ports_of_what_is_started_must_be_free(environ: dict[str, str], demo: bool, unused: set[str]) -> None:
    everything = set(used_ports(Overrides({}), demo=True))
    assert set(used_ports(Overrides(environ), demo=demo)) == everything - unused
