"""The printed tour."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.demo import tour
from deploy.demo.identity import credentials


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    tokens, people = credentials(tmp_path_factory.mktemp("tour"), "http://127.0.0.1:8100")
    names = {"identity": 8100, "intake": 8101, "recovery": 8104, "audit": 8105, "mailbox": 8106}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in names.items()}
    return {"urls": urls, "tokens": tokens, "people": people}


def test_addresses_in_the_order_of_the_story(ready: dict[str, Any]) -> None:
    text = tour.render(ready)
    positions = [
        text.index(step)
        for step in (
            "http://127.0.0.1:8100/",
            "http://127.0.0.1:8106/?to=amelia.lantern@example.org",
            "http://127.0.0.1:8104/console/users",
            "http://127.0.0.1:8106/?to=erin.umbrella@example.org",
            "http://127.0.0.1:8104/recover",
            "http://127.0.0.1:8105/",
            "curl",
        )
    ]
    assert positions == sorted(positions)


def test_no_token_is_printed(ready: dict[str, Any]) -> None:
    text = tour.render(ready)
    assert not any(token in text for token in ready["tokens"].values())
    assert "eyJ" not in text


def test_passwords_of_those_who_sign_in(ready: dict[str, Any]) -> None:
    text = tour.render(ready)
    for role in ("admin", "expert", "auditor"):
        assert ready["people"][role]["password"] in text


def test_a_changed_password_is_not_claimed(ready: dict[str, Any]) -> None:
    expert = ready["people"]["expert"] | {"password_changed": True}
    text = tour.render(ready | {"people": ready["people"] | {"expert": expert}})
    assert expert["password"] not in text


def test_without_a_mailbox(ready: dict[str, Any]) -> None:
    urls = {name: url for name, url in ready["urls"].items() if name != "mailbox"}
    assert "your own mail server" in tour.render(ready | {"urls": urls})


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_commands_are_valid_shell_and_read_the_file(ready: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "ready.json"
    path.parent.mkdir()
    path.write_text(json.dumps(ready))
    commands = tour.render(ready, str(path)).split("-----------------\n")[-1]
    subprocess.run(["bash", "-n"], input=commands, text=True, check=True)
    functions = commands.split("\n\n")[0]
    shown = subprocess.run(
        ["bash"], input=f"{functions}\nready urls.audit\nready tokens.ops", text=True, check=True, capture_output=True
    )
    assert shown.stdout.split() == [ready["urls"]["audit"], ready["tokens"]["ops"]]
