import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from deploy.local.leftovers import ProcessRecord

SLEEPER = [sys.executable, "-c", "import time; time.sleep(30)"]


def test_what_was_recorded_and_still_runs_is_ended(tmp_path: Path) -> None:
    record = ProcessRecord(tmp_path / "processes.json")
    with subprocess.Popen(SLEEPER) as process:
        record.write({"intake": process.pid})
        assert record.end_all() == ["intake"]
        assert process.wait() == -signal.SIGTERM
    assert not (tmp_path / "processes.json").exists()


def test_another_process_under_a_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    record = ProcessRecord(path)
    record.write({"intake": os.getpid()})
    content = json.loads(path.read_text())
    content["processes"]["intake"]["start"] -= 1
    path.write_text(json.dumps(content))
    assert record.end_all() == []


def test_a_record_of_before_the_last_boot_is_void(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    record = ProcessRecord(path)
    record.write({"intake": os.getpid()})
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "another"}))
    assert record.end_all() == []


def test_no_record_or_a_broken_one_is_nothing_to_end(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    assert ProcessRecord(path).end_all() == []
    for text in ("", "[]", '{"boot": 1}', "\0"):
        path.write_text(text)
        assert ProcessRecord(path).end_all() == []
