"""`docker-compose.yml` and the Dockerfile, read and not run: what both promise can be seen in them.

Needs no Docker. `tests/e2e/test_compose.py` starts the real thing where there is an engine.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.cli import app
from deploy.commands import secret_files
from deploy.commands.settings_reference import is_secret, settings_class
from deploy.local.overrides import SERVICES
from shared.kit.settings import candidates

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy/docker"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"secrets", "own-settings", "databases", "migrate", "topics", "demo-prepare", "demo-seed"}
DEFAULTS = dict(
    line.split("=", 1)
    for line in (DOCKER / "defaults.env").read_text().splitlines()
    if line and not line.startswith("#")
)
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
# Settings of commands and of the demo, which no service's class has.
OF_COMMANDS = {
    "READMIT_POSTGRES_ADMIN_URL", "READMIT_AUDIT_OWNER_DATABASE_URL", "READMIT_DEMO_DIR", "READMIT_DEMO_PUBLIC",
    "READMIT_DEMO_PUBLIC_URL", "READMIT_DEMO_INTAKE_URL", "READMIT_DEMO_RECOVERY_URL", "READMIT_DEMO_AUDIT_URL",
    "READMIT_DEMO_IDENTITY_PORT",
}  # fmt: skip


def known_settings(service: str) -> dict[str, tuple[str, Any]]:
    """Every variable that a service reads, with its field."""
    fields = settings_class(service).model_fields
    return {variable: (name, info) for name, info in fields.items() for variable in candidates(service, name)}


def environment(name: str) -> dict[str, str]:
    return {key: str(value) for key, value in CONTAINERS[name].get("environment", {}).items()}


def without_file(name: str) -> str:
    return name.removesuffix("_FILE")


def test_all_that_is_promised_is_there() -> None:
    assert {*SERVICES, "kafka", "postgres", "valkey", "mailpit", "identity"} | ONE_SHOT == CONTAINERS.keys()
    of = {
        profile: {name for name, it in CONTAINERS.items() if profile in it["profiles"]} for profile in ("core", "dev")
    }
    assert of["dev"] - of["core"] == {"identity", "mailpit", "demo-prepare", "demo-seed"}
    assert of["core"] - of["dev"] == {"own-settings"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_confined(name: str) -> None:
    container = CONTAINERS[name]
    assert container["init"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container.get("read_only") is True or name == "kafka"
    assert "cap_add" not in container or name == "secrets"
    limits = container["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= limits.keys()
    assert container["logging"]["options"]["max-size"] or name in ONE_SHOT
    assert not {"privileged", "pid", "ipc", "devices"} & container.keys()
    assert "docker.sock" not in str(container)


@pytest.mark.parametrize("name", CONTAINERS)
def test_health_and_restart_fit_what_it_is(name: str) -> None:
    container = CONTAINERS[name]
    if name in ONE_SHOT:
        assert container["restart"] == "no"
        assert container["healthcheck"] == {"disable": True}
        return
    assert container["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries", "start_period"} <= container["healthcheck"].keys()
    assert "curl" not in str(container["healthcheck"]["test"])
    assert int(container["stop_grace_period"].removesuffix("s")) > 10  # a service may take ten seconds


@pytest.mark.parametrize("name", CONTAINERS)
def test_order_waits_for_conditions(name: str) -> None:
    for other, how in CONTAINERS[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        assert how["condition"] == expected, other
        # Only what is in one profile alone may be missing.
        assert how.get("required", True) is (set(CONTAINERS[name]["profiles"]) <= set(CONTAINERS[other]["profiles"]))


@pytest.mark.parametrize("name", CONTAINERS)
def test_images_are_pinned(name: str) -> None:
    image = CONTAINERS[name]["image"]
    assert re.fullmatch(r"[a-z/-]+:(v?\d+\.\d+[\w.-]*|\$\{READMIT_VERSION:-\d+\.\d+\.\d+\})", image), image


def test_only_pages_are_published_and_on_loopback_only() -> None:
    published = {name for name, it in CONTAINERS.items() if it.get("ports")}
    assert published == {"intake", "recovery", "audit", "identity", "mailpit"}
    for name in published:
        assert all(port.startswith("127.0.0.1:") for port in CONTAINERS[name]["ports"]), name


def test_broker_database_and_counters_are_on_networks_that_lead_nowhere() -> None:
    for name, network in (("kafka", "broker"), ("postgres", "database"), ("valkey", "limits")):
        assert CONTAINERS[name]["networks"] == [network]
        assert COMPOSE["networks"][network] == {"internal": True}
    on_limits = {name for name, it in CONTAINERS.items() if "limits" in (it.get("networks") or ())}
    assert on_limits == {"valkey", "intake", "recovery"}
    for name in ("identity", "demo-seed", "mailpit"):
        assert set(CONTAINERS[name]["networks"]) == {"outside"}


def test_every_setting_that_is_named_exists() -> None:
    known = set().union(*(known_settings(service) for service in SERVICES))
    for name in CONTAINERS:
        for variable in environment(name):
            if variable.startswith("READMIT_"):
                assert without_file(variable) in known | OF_COMMANDS, f"{name}: {variable}"
    assert DEFAULTS.keys() <= known


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_all_that_it_needs_and_no_key_that_it_does_not(service: str) -> None:
    assert CONTAINERS[service]["command"] == ["run", service]
    assert CONTAINERS[service]["env_file"] == [
        {"path": "deploy/docker/defaults.env"}, {"path": "deploy/docker/settings.env", "required": False},
    ]  # fmt: skip
    given = environment(service)
    names = {without_file(name) for name in given} | DEFAULTS.keys()
    for field, info in settings_class(service).model_fields.items():
        if info.is_required():
            assert set(candidates(service, field)) & names, f"{service} lacks {field}"
    known = known_settings(service)
    assert {without_file(name) for name in given} <= known.keys()
    mounted = set(CONTAINERS[service].get("secrets", ()))
    assert mounted == {Path(value).name for name, value in given.items() if name.endswith("_FILE")}


def test_secrets_are_files_only() -> None:
    secrets = {
        variable
        for service in SERVICES
        for variable, (name, info) in known_settings(service).items()
        if is_secret(name, info)
    } | {"READMIT_POSTGRES_ADMIN_URL", "READMIT_AUDIT_OWNER_DATABASE_URL", "POSTGRES_PASSWORD"}
    assert "READMIT_HASH_KEY" in secrets
    for name in CONTAINERS:
        for variable, value in environment(name).items():
            assert variable not in secrets, f"{name}: {variable} has its value in the file"
            if variable.endswith("_FILE") and without_file(variable) in secrets:
                assert value.startswith("/run/secrets/"), f"{name}: {variable}"
    assert not secrets & DEFAULTS.keys()


def test_every_secret_is_one_that_the_command_makes(tmp_path: Path) -> None:
    secret_files.make(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert COMPOSE["secrets"].keys() <= made
    assert {name: item["file"] for name, item in COMPOSE["secrets"].items()} == {
        name: "${READMIT_SECRETS:-./deploy/docker/secrets}/" + name for name in COMPOSE["secrets"]
    }
    used = {secret for it in CONTAINERS.values() for secret in it.get("secrets", ())}
    assert used == COMPOSE["secrets"].keys()
    # Where they are made by default, nothing but the rule that keeps them out of the repository is committed.
    assert (DOCKER / "secrets/.gitignore").read_text().splitlines()[-2:] == ["*", "!.gitignore"]


def test_audit_writes_with_a_role_that_does_not_own_its_schema() -> None:
    assert "audit_owner_database_url" in CONTAINERS["migrate"]["secrets"]
    assert "audit_owner_database_url" not in CONTAINERS["audit"]["secrets"]
    holders = {name for name, it in CONTAINERS.items() if "postgres_admin_url" in it.get("secrets", ())}
    assert holders == {"databases"}


def test_volumes_are_named_and_all_used() -> None:
    used = {volume.split(":")[0] for it in CONTAINERS.values() for volume in it.get("volumes", ())}
    assert {name for name in used if not name.startswith("$")} == COMPOSE["volumes"].keys()


def test_commands_exist() -> None:
    commands = {str(command.name or getattr(command.callback, "__name__", "")) for command in app.registered_commands}
    groups = {str(group.name) for group in app.registered_groups}
    for name, container in CONTAINERS.items():
        if str(container["image"]).startswith("readmit") and "entrypoint" not in container:
            assert container["command"][0] in commands | groups, name
    for entrypoint in (it["entrypoint"] for it in CONTAINERS.values() if "entrypoint" in it):
        assert entrypoint[:3] == ["python", "-P", "-m"]
        assert (ROOT / entrypoint[3].replace(".", "/")).with_suffix(".py").exists() or (
            ROOT / entrypoint[3].replace(".", "/") / "__main__.py"
        ).exists()


def test_the_image_is_small_locked_and_nobody_in_particular() -> None:
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", DOCKERFILE, re.MULTILINE)
    assert [name for _, name in stages] == ["build", "build-demo", "base", "demo", "service"]
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    for line in ("USER 10001:10001", "STOPSIGNAL SIGTERM", 'ENTRYPOINT ["readmit"]'):
        assert line in DOCKERFILE.splitlines()
    assert re.search(r"^HEALTHCHECK .*CMD \[", DOCKERFILE, re.MULTILINE), "no shell"
    # What downloads does it by hashes; what does not says so.
    for command in re.findall(r"pip [^&\n]*(?:install|wheel) [^&\n]*", DOCKERFILE):
        assert "--require-hashes -r requirements/" in command or "--no-index" in command, command
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in DOCKERFILE


def test_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"ARG VERSION={version}\n" in DOCKERFILE
    for name, container in CONTAINERS.items():
        if "build" in container:
            assert container["image"].endswith(f"${{READMIT_VERSION:-{version}}}"), name


def test_an_image_of_a_service_has_no_embedded_engine() -> None:
    for lock in ("image.lock", "image-demo.lock", "image-build.lock"):
        text = (ROOT / "requirements" / lock).read_text()
        assert "pixeltable" not in text
        assert "calfkit" not in text
        assert "index" not in text
    pins = {name: _pins(f"{name}.lock") for name in ("runtime", "image", "image-demo")}
    assert pins["image"].items() <= pins["image-demo"].items() <= pins["runtime"].items()


def _pins(lock: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / lock).read_text().splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if re.match(r"[a-z]", line))


def test_build_context_leaves_secrets_and_data_out() -> None:
    rules = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in rules
    assert rules.index("!deploy") < rules.index("deploy/docker/secrets")
    assert "!var" not in rules
