import json
from pathlib import Path
from typing import Any

from deploy.local.ready import ReadyFile, for_people
from deploy.local.stack import smtp_endpoints

CONTENT: dict[str, Any] = {
    "urls": {"intake": "http://127.0.0.1:21001"},
    "ops_urls": {"intake": "http://127.0.0.1:21001", "notifier": "http://127.0.0.1:21003"},
    "kafka": "127.0.0.1:21008",
    "smtp": "127.0.0.1:21007",
    "databases": {"intake": "postgresql://readmit_intake:database-password@/readmit_intake?host=/run"},
    "pids": {"intake": 100, "broker": 101},
    "audit_key": "readmit.local/audit+00000000+AQ==",
    "tokens": {"admin": "a-token"},
    "people": {"admin": {"account_id": "acc-1", "email": "admin@example.org", "password": "a-password"}},
}


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_text("{}")
    path.chmod(0o644)
    ReadyFile(path).publish(CONTENT)
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == CONTENT


def test_a_restart_updates_the_pids(tmp_path: Path) -> None:
    ready = ReadyFile(tmp_path / "ready.json")
    ready.publish(CONTENT)
    ready.update_pids({"intake": 200, "broker": 101})
    found = json.loads(ready.path.read_text())
    assert found == CONTENT | {"pids": {"intake": 200, "broker": 101}}
    assert ready.path.stat().st_mode & 0o777 == 0o600


def test_a_restart_before_all_is_ready_writes_nothing(tmp_path: Path) -> None:
    ready = ReadyFile(tmp_path / "ready.json")
    ready.update_pids({"intake": 200})
    assert not ready.path.exists()


def test_nothing_is_written_after_it_was_removed(tmp_path: Path) -> None:
    ready = ReadyFile(tmp_path / "ready.json")
    ready.publish(CONTENT)
    ready.remove()
    ready.update_pids({"intake": 200})
    assert list(tmp_path.iterdir()) == []


def test_people_are_shown_no_secret() -> None:
    shown = for_people(CONTENT)
    assert "http://127.0.0.1:21003" in shown
    assert not [secret for secret in ("a-token", "a-password", "database-password") if secret in shown]


def test_smtp_is_shown_without_credentials() -> None:
    assert smtp_endpoints("smtps://user:secret@one.example.org, smtp://two.example.org:2525") == (
        "one.example.org:465,two.example.org:2525"
    )
