"""`readmit up` with stub services: start, restart of what dies, and the end, on a real PostgreSQL and broker."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.integration.up_stubs.running import EXTERNAL, Running, eventually

Up = Callable[..., Running]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    started: list[Running] = []

    def start(**arguments: object) -> Running:
        running = Running(**{"folder": tmp_path / "var", **arguments})  # type: ignore[arg-type]
        started.append(running)
        return running.start()

    yield start
    for running in started:
        running.clean_up()


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def descendants(pid: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = set[int](), [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found


def query(url: str, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_start_restart_and_stop(up: Up) -> None:
    stack = up().until_ready()
    ready = stack.ready()
    assert (stack.folder / "ready.json").stat().st_mode & 0o777 == 0o600
    assert set(ready) == {"urls", "ops_urls", "kafka", "smtp", "databases", "pids", "audit_key"}
    assert set(ready["pids"]) == {"intake", "enrichment", "notifier", "recovery", "audit", "broker", "postgres"}
    assert ready["smtp"] == "mail.example.org:2525"
    assert ready["kafka"] == f"127.0.0.1:{stack.port_base + 8}"
    assert sorted(stack.called()) == ["migrate", "topics apply"]
    assert all(stack.answers(service) for service in ready["ops_urls"])

    # What dies comes back at once, under a new pid.
    _, pid = stack.kill("intake")
    assert alive(pid)
    eventually(lambda: stack.answers("intake"))

    # A new broker is empty: topics and ledgers go into it again.
    stack.kill("broker")
    eventually(lambda: stack.called()[-2:] == ["topics apply", "replay"])

    # PostgreSQL recovers what was committed.
    query(ready["databases"]["notifier"], "CREATE TABLE kept AS SELECT 42 AS answer")
    stack.kill("postgres")
    eventually(lambda: _answer(ready["databases"]["notifier"]) == 42)

    assert stack.process is not None
    children = descendants(stack.process.pid)
    assert len(children) > 7
    code, seconds, said = stack.stop(signal.SIGINT)
    assert code == 0
    assert seconds < 15
    assert [line.split(":")[0] for line in said.splitlines()] == ["intake", "broker", "postgres"]
    assert not [pid for pid in children if alive(pid)]
    assert not (stack.folder / "ready.json").exists()

    # Data and secrets are kept; the broker, which keeps nothing, is refilled.
    again = up(port_base=stack.port_base).until_ready()
    assert again.ready()["databases"] == ready["databases"]
    assert again.ready()["audit_key"] == ready["audit_key"]
    assert _answer(ready["databases"]["notifier"]) == 42
    assert "replay" in again.called()[-3:]


def test_nobody_meets_a_new_broker_before_its_topics_are_there(up: Up) -> None:
    """Found by the fault test: a consumer quick enough to read what came before the topics passed over what came after.

    Tansu takes records for topics that it does not have, and begins their logs anew when they are made.
    """
    stack = up().until_ready()
    hold = Path(f"{stack.calls}.hold")
    hold.touch()
    stack.kill("broker")
    eventually(lambda: stack.called().count("topics apply") == 2)
    services = ("intake", "enrichment", "notifier", "recovery", "audit")
    assert {_state(stack.pid(name)) for name in services} == {"T"}
    killed = stack.pid("audit")
    os.kill(killed, signal.SIGKILL)
    time.sleep(0.5)
    assert stack.pid("audit") == killed, "its successor waits too"
    hold.unlink()
    eventually(lambda: stack.pid("audit") != killed)
    eventually(lambda: "T" not in {_state(stack.pid(name)) for name in services})
    eventually(lambda: all(stack.answers(name) for name in services))
    eventually(lambda: stack.called()[-1] == "replay")


def test_a_stack_whose_services_are_held_can_be_stopped(up: Up) -> None:
    stack = up().until_ready()
    hold = Path(f"{stack.calls}.hold")
    hold.touch()
    stack.kill("broker")
    eventually(lambda: stack.called().count("topics apply") == 2)
    code, seconds, _ = stack.stop()
    assert code == 0
    assert seconds < 8, "asked to stop, and not killed after their time to do so"


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _answer(url: str) -> object:
    try:
        return query(url, "SELECT answer FROM kept")
    except (OSError, asyncpg.PostgresError):
        return None


def test_nobody_is_left_when_up_is_killed(up: Up) -> None:
    stack = up().until_ready()
    pids = set(stack.ready()["pids"].values())
    assert stack.process is not None
    stack.process.kill()
    stack.process.communicate()
    eventually(lambda: not [pid for pid in pids if alive(pid)], limit=5)
    # And the next one starts over what the dead one left behind.
    again = up(port_base=stack.port_base)
    eventually(lambda: again.folder.joinpath("processes.json").exists() and again.process)
    eventually(lambda: not set(again.ready()["pids"].values()) & pids if _is_ready(again) else False, limit=60)


def _is_ready(stack: Running) -> bool:
    return (stack.folder / "ready.json").exists()


def test_a_second_up_on_the_same_folder_is_refused(up: Up) -> None:
    stack = up().until_ready()
    code, said = up().end()
    assert code == 2
    assert "another `readmit up`" in said
    assert str(stack.folder) in said
    assert _is_ready(stack)


def test_a_taken_port_is_named_before_anything_starts(up: Up) -> None:
    stack = Running(Path("/unused"))
    with socket.create_server(("127.0.0.1", stack.port_base + 4)):
        other = up(port_base=stack.port_base)
        code, said = other.end()
    assert code == 2
    assert f"port {stack.port_base + 4} (recovery) is taken" in said
    assert not (other.folder / "postgres").exists()


def test_a_service_that_cannot_start_ends_it_with_the_reason(up: Up, tmp_path: Path) -> None:
    stack = up(environ={**EXTERNAL, "STUB_REFUSES": "recovery"})
    assert stack.process is not None
    code, said = stack.end()
    assert code == 1
    assert "recovery does not start" in said
    assert "READMIT_STUB is missing" in said
    assert not (tmp_path / "var" / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize("processes", [0, 1, 3, 6, 12])
def test_it_stops_cleanly_in_the_middle_of_a_start(up: Up, processes: int) -> None:
    stack = up()
    assert stack.process is not None
    pid = stack.process.pid
    eventually(lambda: (stack.folder / "lock").exists())
    seen = eventually(lambda: (descendants(pid),) if len(descendants(pid)) >= processes else None)[0]
    code, seconds, _ = stack.stop()
    assert code == 0
    assert seconds < 15
    assert not [child for child in seen if alive(child)]


def test_services_cannot_reach_each_others_databases(up: Up) -> None:
    databases = up().until_ready().ready()["databases"]
    crossed = databases["intake"].replace("/readmit_intake?", "/readmit_audit?")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        query(crossed, "SELECT 1")
    for shared in ("postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(databases["intake"].replace("/readmit_intake?", f"/{shared}?"), "SELECT 1")
    # Audit writes with a role that doesn't own what it writes to.
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'readmit_audit'"
    assert query(databases["audit"], owner) == "readmit_audit_owner"
    assert query(databases["intake"], "SHOW fsync") == "on"


def test_what_the_environment_names_is_not_started(up: Up) -> None:
    elsewhere = {f"READMIT_{name}_DATABASE_URL": f"postgresql://db.example.org/{name.lower()}" for name in (
        "INTAKE", "ENRICHMENT", "NOTIFIER", "RECOVERY", "AUDIT",
    )}  # fmt: skip
    broker = {"READMIT_KAFKA_BOOTSTRAP_SERVERS": "kafka.example.org:9092"}
    ready = up(environ={**EXTERNAL, **elsewhere, **broker}).until_ready().ready()
    assert set(ready["pids"]) == {"intake", "enrichment", "notifier", "recovery", "audit"}
    assert ready["kafka"] == "kafka.example.org:9092"
    assert ready["databases"]["audit"] == "postgresql://db.example.org/audit"


def test_the_demo_adds_people_tokens_and_a_mailbox(up: Up) -> None:
    stack = up(environ={}, flags=("--demo",)).until_ready()
    ready = stack.ready()
    assert set(ready["urls"]) == {"intake", "recovery", "audit", "identity", "mailbox"}
    assert set(ready["tokens"]) == {"platform", "admin", "expert", "no_permission", "auditor", "ops"}
    assert set(ready["people"]["admin"]) >= {"account_id", "email", "password"}
    assert ready["smtp"] == f"127.0.0.1:{stack.port_base + 7}"
    imported = [line for line in stack.called() if line.endswith("events")]
    assert sum(int(line.split()[0]) for line in imported) > 3000
    stack.stop()
    # The history is imported once a folder.
    again = up(environ={}, flags=("--demo",), port_base=stack.port_base).until_ready()
    assert [line for line in again.called() if line.endswith("events")] == imported


def test_the_demo_without_its_mailbox(up: Up) -> None:
    stack = up(environ={"READMIT_SMTP_URL": "smtp://mail.example.org"}, flags=("--demo",)).until_ready()
    ready = stack.ready()
    assert "mailbox" not in ready["urls"]
    assert ready["smtp"] == "mail.example.org:25"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", stack.port_base + 7))
