from pathlib import Path

import pytest

from deploy.errors import CommandError, MissingSettingsError
from deploy.local.environment import Environment, require_settings
from deploy.local.overrides import SERVICES, Overrides
from deploy.local.stack import environment_of


def environment(tmp_path: Path, environ: dict[str, str] | None = None, *, demo: bool = False) -> Environment:
    return environment_of(environ or {}, tmp_path, 21000, demo=demo)


def test_without_demo_all_missing_settings_are_named_at_once() -> None:
    with pytest.raises(MissingSettingsError) as refusal:
        require_settings(Overrides({"READMIT_AUTH_ISSUER": "https://id.example.org"}), demo=False)
    assert "READMIT_AUTH_JWKS, READMIT_SMTP_URL." in str(refusal.value)
    assert "READMIT_AUTH_ISSUER" not in str(refusal.value)
    assert refusal.value.exit_code == 2


def test_a_setting_in_a_file_counts_as_set(tmp_path: Path) -> None:
    secret = tmp_path / "smtp"
    secret.write_text("smtp://mail.example.org\n")
    environ = {
        "READMIT_AUTH_JWKS": "/etc/jwks.json",
        "READMIT_AUTH_ISSUER": "https://id.example.org",
        "READMIT_SMTP_URL_FILE": str(secret),
    }
    require_settings(Overrides(environ), demo=False)
    assert Overrides(environ).value("SMTP_URL") == "smtp://mail.example.org"


def test_both_forms_of_a_setting_are_an_error() -> None:
    with pytest.raises(CommandError, match="READMIT_HASH_KEY and READMIT_HASH_KEY_FILE are both set"):
        require_settings(Overrides({"READMIT_HASH_KEY": "x", "READMIT_HASH_KEY_FILE": "/x"}), demo=True)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="READMIT_SMTP_URL_FILE: cannot read"):
        Overrides({"READMIT_SMTP_URL_FILE": str(tmp_path / "none")}).value("SMTP_URL")


def test_the_environment_wins_over_the_embedded_stack(tmp_path: Path) -> None:
    outer = {
        "READMIT_SMTP_URL": "smtp://mail.example.org",
        "READMIT_KAFKA_BOOTSTRAP_SERVERS": "kafka.example.org:9092",
        "READMIT_NOTIFIER_DATABASE_URL": "postgresql://n@db.example.org/n",
        "READMIT_HASH_KEY": "outer",
        "READMIT_NOTIFIER_MAIL_FROM": "Help <help@example.org>",
        "READMIT_GEOIP_CITY": "",
    }
    found = environment(tmp_path, outer, demo=True).of_service("notifier")
    assert {name: found[name] for name in outer} == outer
    assert "READMIT_HASH_KEY_FILE" not in found
    assert "READMIT_MAIL_FROM" not in found
    # Nor what only the embedded broker needs.
    assert "READMIT_KAFKA_ENABLE_IDEMPOTENCE" not in found
    assert "READMIT_KAFKA_SESSION_TIMEOUT_MS" not in found


def test_one_services_own_value_leaves_the_default_to_the_others(tmp_path: Path) -> None:
    stack = environment(tmp_path, {"READMIT_RECOVERY_SMTP_URL": "smtp://codes.example.org"}, demo=True)
    assert "READMIT_SMTP_URL" not in stack.of_service("recovery")
    assert stack.of_service("notifier")["READMIT_SMTP_URL"] == "smtp://127.0.0.1:21007"


@pytest.mark.parametrize("name", ["HOST", "PORT", "HOST_FILE", "INTAKE_PORT", "INTAKE_PORT_FILE"])
def test_listening_addresses_are_never_inherited(tmp_path: Path, name: str) -> None:
    found = environment(tmp_path, {f"READMIT_{name}": "9"}).of_service("intake")
    assert found["READMIT_HOST"] == "127.0.0.1"
    assert found["READMIT_PORT"] == "21001"
    assert "9" not in [value for key, value in found.items() if key.startswith("READMIT_")]


def test_settings_of_postgresql_clients_are_not_inherited(tmp_path: Path) -> None:
    found = environment(tmp_path, {"PGPORT": "6000", "PGHOST": "db.example.org"}).of_service("intake")
    assert not {"PGPORT", "PGHOST"} & set(found)


def test_each_service_is_told_its_own_database_only(tmp_path: Path) -> None:
    stack = environment(tmp_path)
    for service in SERVICES:
        named = [name for name in stack.of_service(service) if name.endswith("DATABASE_URL")]
        assert named == [f"READMIT_{service.upper()}_DATABASE_URL"]


def test_each_service_is_told_the_secrets_it_needs_only(tmp_path: Path) -> None:
    stack = environment(tmp_path)
    who = {
        name: {service for service in SERVICES if f"READMIT_{name}_FILE" in stack.of_service(service)}
        for name in ("HASH_KEY", "CODE_KEY", "GRANT_KEY", "AUDIT_SIGNING_KEY", "AUDIT_SUBJECT_KEY")
    }
    assert who == {
        "HASH_KEY": set(SERVICES),
        "CODE_KEY": {"recovery"},
        "GRANT_KEY": {"recovery"},
        "AUDIT_SIGNING_KEY": {"audit"},
        "AUDIT_SUBJECT_KEY": {"audit"},
    }


def test_migrations_run_with_the_owner_of_audits_database(tmp_path: Path) -> None:
    found = environment(tmp_path).of_tools(SERVICES)
    assert found["READMIT_AUDIT_OWNER_DATABASE_URL"].startswith("postgresql://readmit_audit_owner:")
    assert found["READMIT_AUDIT_DATABASE_URL"].startswith("postgresql://readmit_audit:")


def test_a_database_of_the_environment_is_migrated_with_its_own_owner(tmp_path: Path) -> None:
    database = {"READMIT_AUDIT_DATABASE_URL": "postgresql://a@db.example.org/a"}
    owner = {"READMIT_AUDIT_OWNER_DATABASE_URL": "postgresql://o@db.example.org/a"}
    without, given = (environment(tmp_path, outer).of_tools(SERVICES) for outer in (database, database | owner))
    assert without["READMIT_AUDIT_OWNER_DATABASE_URL"] == database["READMIT_AUDIT_DATABASE_URL"]
    assert given["READMIT_AUDIT_OWNER_DATABASE_URL"] == owner["READMIT_AUDIT_OWNER_DATABASE_URL"]


def test_public_addresses_are_the_services_own(tmp_path: Path) -> None:
    found = environment(tmp_path, {"READMIT_AUTH_ISSUER": "https://id.example.org"}).of_service("recovery")
    assert found["READMIT_PUBLIC_RECOVERY_URL"] == "http://127.0.0.1:21004"
    assert found["READMIT_ENRICHMENT_URL"] == "http://127.0.0.1:21002"
    assert found["READMIT_IDENTITY_AUDIENCE"] == "https://id.example.org"
