"""Failpoints: what arms them, what they do, and that the registry and the code name the same places."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.errors import USAGE, CommandError
from deploy.local.environment import require_settings
from deploy.local.overrides import Overrides
from shared.kit import failpoints
from shared.kit.failpoints import KIT, NAMES, OWN, FailpointReached, arm, failpoint, parse
from shared.kit.settings import load_or_exit
from tests.unit.kit.test_settings import BASE, ToySettings, complaint, load

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm("intake", ())


def armed(text: str, service: str = "intake", fired: Path | None = None) -> None:
    arm(service, parse(text), fired)


async def test_nothing_happens_where_nothing_is_armed() -> None:
    for name in (*KIT, *OWN):
        await failpoint(name)
    armed("")
    assert failpoints._armed is None


async def test_raise_raises_at_its_own_place_only() -> None:
    armed("intake.request.before-answer=raise")
    await failpoint("intake.request.before-insert")
    for _ in range(2):
        with pytest.raises(FailpointReached, match=r"intake\.request\.before-answer"):
            await failpoint("intake.request.before-answer")


async def test_a_pass_can_be_chosen() -> None:
    armed("intake.request.before-answer=raise@3")
    await failpoint("intake.request.before-answer")
    await failpoint("intake.request.before-answer")
    with pytest.raises(FailpointReached):
        await failpoint("intake.request.before-answer")
    await failpoint("intake.request.before-answer")


async def test_the_kits_places_belong_to_the_service_that_passes_them() -> None:
    armed("audit.relay.before-delete=raise", service="intake")
    await failpoint("relay.before-delete")
    armed("audit.relay.before-delete=raise", service="audit")
    with pytest.raises(FailpointReached, match=r"audit\.relay\.before-delete"):
        await failpoint("relay.before-delete")


async def test_a_file_remembers_that_a_place_acted(tmp_path: Path) -> None:
    name = "intake.request.before-answer"
    armed(f"{name}=raise", fired=tmp_path)
    with pytest.raises(FailpointReached):
        await failpoint(name)
    await failpoint(name)
    armed(f"{name}=raise", fired=tmp_path)  # as the next process would
    await failpoint(name)
    (tmp_path / name).unlink()
    with pytest.raises(FailpointReached):
        await failpoint(name)


async def test_sleep_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("shared.kit.failpoints.asyncio.sleep", sleep)
    armed("intake.request.before-answer=sleep:0.5,intake.events.before-answer=sleep:2@1")
    await failpoint("intake.request.before-answer")
    await failpoint("intake.events.before-answer")
    assert waited == [0.5, 2.0]


def test_kill_is_sigkill_and_leaves_its_mark(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from shared.kit.failpoints import arm, failpoint, parse\n"
        "arm('audit', parse('audit.append.mid-batch=kill'), Path(sys.argv[1]))\n"
        "try: asyncio.run(failpoint('audit.append.mid-batch'))\n"
        "finally: print('survived')"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == -signal.SIGKILL
    assert "survived" not in first.stdout
    assert os.listdir(tmp_path) == ["audit.append.mid-batch"]  # noqa: PTH208
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout.splitlines()[-1]) == (0, "survived")


@pytest.mark.parametrize("deed", ["", "=", "=die", "=kill@0", "=kill@x", "=sleep", "=sleep:-1", "=sleep:soon"])
def test_what_is_not_well_formed_is_refused(deed: str) -> None:
    with pytest.raises(ValueError, match="is not NAME=kill"):
        parse(f"intake.relay.before-delete=kill,intake.request.before-answer{deed}")


def test_an_unknown_place_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"there is no 'intake\.nowhere'") as refused:
        parse("intake.nowhere=kill")
    assert all(name in str(refused.value) for name in NAMES)
    (line,) = complaint(FAILPOINTS="intake.nowhere=kill", ENVIRONMENT="test")
    assert line.startswith("READMIT_FAILPOINTS: there is no 'intake.nowhere'")


def test_production_settings_refuse_failpoints() -> None:
    for refused in ({}, {"ENVIRONMENT": "production"}, {"ENVIRONMENT": ""}):
        (line,) = complaint(FAILPOINTS="intake.relay.before-delete=kill", **refused)
        assert line == (
            "READMIT_FAILPOINTS is for tests: it kills services on purpose, and is refused unless "
            "READMIT_ENVIRONMENT=test"
        )
    (line,) = complaint(TOY_FAILPOINTS="intake.relay.before-delete=kill")
    assert "READMIT_FAILPOINTS" in line
    assert "READMIT_ENVIRONMENT" in complaint(ENVIRONMENT="staging")[0]


def test_test_settings_let_them_in(tmp_path: Path) -> None:
    settings = load(
        FAILPOINTS="intake.relay.before-delete=kill, audit.append.mid-batch=kill@2",
        ENVIRONMENT="test",
        FAILPOINTS_DIR=str(tmp_path),
    )
    assert [(point.name, point.only_pass) for point in settings.failpoints] == [
        ("intake.relay.before-delete", None),
        ("audit.append.mid-batch", 2),
    ]
    assert settings.failpoints_dir == tmp_path
    assert load().failpoints == ()
    assert (load().environment, load().failpoints_dir) == ("production", None)


@pytest.mark.parametrize("name", ["READMIT_FAILPOINTS", "READMIT_AUDIT_FAILPOINTS"])
def test_up_refuses_before_it_starts_anything(name: str, tmp_path: Path) -> None:
    environ = {name: "audit.append.mid-batch=kill"}
    with pytest.raises(CommandError, match="READMIT_FAILPOINTS is for tests") as refused:
        require_settings(Overrides(environ), demo=True)
    assert refused.value.exit_code == USAGE
    require_settings(Overrides(environ | {"READMIT_ENVIRONMENT": "test"}), demo=True)


def test_a_service_with_them_ends_at_once_in_production(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (BASE | {"READMIT_FAILPOINTS": "audit.unit.before-commit=kill"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load_or_exit(ToySettings)
    assert ended.value.code == 2
    assert "READMIT_FAILPOINTS is for tests" in capsys.readouterr().err


def test_each_place_is_in_the_code_once_and_in_the_registry() -> None:
    found: Counter[str] = Counter()
    for path in [*(ROOT / "services").rglob("*.py"), *(ROOT / "shared").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
                (name,) = node.args
                assert isinstance(name, ast.Constant), f"{path}: a failpoint's name is a literal"
                place = str(name.value)
                found[place] += 1
                top, second = path.relative_to(ROOT).parts[:2]
                if top == "services":
                    assert place in OWN, f"{path}: {place} is not in the registry"
                    assert place.startswith(f"{second}."), f"{path}: {place} names another service"
                else:
                    assert place in KIT, f"{path}: {place} is not in the registry of the kit's places"
    assert found == Counter([*KIT, *OWN])
