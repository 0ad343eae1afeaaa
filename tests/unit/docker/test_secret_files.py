"""`readmit secrets DIR`, and the check that keeps the demo's settings out of the profile `core`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.commands import secret_files
from deploy.docker import own_settings
from shared.kit.settings import KeyRing, PemKeys

OWN = {
    "READMIT_AUTH_ISSUER": "https://id.example.org",
    "READMIT_AUTH_JWKS": "https://id.example.org/jwks",
    "READMIT_PUBLIC_INTAKE_URL": "https://help.example.org",
    "READMIT_SMTP_URL": "smtps://user:password@mail.example.org",
}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_secrets_are_made_once_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret_files.make(tmp_path)
    first = contents(tmp_path)
    (tmp_path / "hash_key").unlink()
    secret_files.make(tmp_path)
    second = contents(tmp_path)
    assert second.pop("hash_key") != first.pop("hash_key")
    assert second == first
    assert capsys.readouterr().out.splitlines()[-1] == f"made in {tmp_path}: hash_key"


def test_containers_may_read_the_files_and_nobody_else_the_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    secret_files.make(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o444}


def test_secrets_are_what_the_settings_take(tmp_path: Path) -> None:
    secret_files.make(tmp_path)
    files = contents(tmp_path)
    for name in ("hash_key", "code_key", "recovery_session_key", "audit_session_key", "audit_subject_key"):
        KeyRing.parse(files[name])
    for name in ("grant_key", "audit_signing_key"):
        PemKeys.parse(files[name])
    urls = {name: urlsplit(text) for name, text in files.items() if name.endswith("_database_url")}
    assert {(url.username, url.path) for url in urls.values()} == {
        ("readmit_intake", "/readmit_intake"),
        ("readmit_enrichment", "/readmit_enrichment"),
        ("readmit_notifier", "/readmit_notifier"),
        ("readmit_recovery", "/readmit_recovery"),
        ("readmit_audit", "/readmit_audit"),
        ("readmit_audit_owner", "/readmit_audit"),
    }
    passwords = [url.password for url in urls.values()] + [files["postgres_password"], files["valkey_password"]]
    assert len(set(passwords)) == len(passwords)
    assert urlsplit(files["postgres_admin_url"]).password == files["postgres_password"]
    assert urlsplit(files["rate_limit_url"]).password == files["valkey_password"]
    assert files["valkey_conf"] == f"requirepass {files['valkey_password']}\n"


def test_own_settings_are_let_through() -> None:
    assert own_settings.main(OWN) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("READMIT_AUTH_ISSUER", "http://identity.localhost:8100"),
        ("READMIT_AUTH_JWKS", "/var/lib/readmit/public/jwks.json"),
        ("READMIT_PUBLIC_INTAKE_URL", "http://intake.localhost:8101"),
        ("READMIT_SMTP_URL", "smtp://mailpit:1025"),
    ],
)
def test_the_demos_settings_are_named_and_refused(name: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert own_settings.main(OWN | {name: value}) == 2
    assert capsys.readouterr().err.startswith(f"{name} is still the demo's")


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {name: value for name, value in OWN.items() if name != "READMIT_SMTP_URL"}
    assert own_settings.main(environ | {"READMIT_SMTP_URL_FILE": str(tmp_path / "smtp_url")}) == 2
    assert "READMIT_SMTP_URL_FILE" in capsys.readouterr().err
