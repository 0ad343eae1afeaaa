"""`readmit secrets DIR`: the files that `docker-compose.yml` hands to its containers, made once and kept."""

import os
from pathlib import Path

from deploy.errors import CommandError
from deploy.local.overrides import SERVICES
from deploy.local.postgres import owner_role
from deploy.local.secrets import Secrets, random_password

_KEYS = {
    "hash_key": "HASH_KEY",
    "code_key": "CODE_KEY",
    "grant_key": "GRANT_KEY",
    "recovery_session_key": "SESSION_KEY",
    "audit_session_key": "SESSION_KEY",
    "audit_signing_key": "AUDIT_SIGNING_KEY",
    "audit_subject_key": "AUDIT_SUBJECT_KEY",
}
# Names of containers of docker-compose.yml.
_POSTGRES, _VALKEY, _MAILPIT = "postgres:5432", "valkey:6379", "smtp://mailpit:1025"


def make(folder: Path) -> None:
    """Make the files that are missing, and say which; those that are there stay as they are."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A container reads its files as a user of its own, so each is readable by all, and the folder by one.
        folder.chmod(0o700)
        made = [path.name for path in _files(folder)]
        owner = folder.stat()
        if os.geteuid() == 0:
            for name in made:
                os.chown(folder / name, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise CommandError(f"{folder}: {error.strerror or error}") from error
    print(f"made in {folder}: {', '.join(made)}" if made else f"{folder}: all were there")


def _files(folder: Path) -> list[Path]:
    before = {path.name for path in folder.iterdir()}
    secrets = Secrets(folder)
    for name, setting in _KEYS.items():
        secrets.named(name, setting)
    postgres = secrets.password("postgres_password")
    secrets.text("postgres_admin_url", f"postgresql://postgres:{postgres}@{_POSTGRES}/postgres")
    for service in SERVICES:
        secrets.text(f"{service}_database_url", _database_url(f"readmit_{service}", service))
    secrets.text("audit_owner_database_url", _database_url(owner_role("audit"), "audit"))
    valkey = secrets.password("valkey_password")
    secrets.text("valkey_conf", f"requirepass {valkey}\n")
    secrets.text("rate_limit_url", f"valkey://:{valkey}@{_VALKEY}/0")
    secrets.password("oidc_client_secret")
    secrets.text("smtp_url", _MAILPIT)
    made = sorted(path for path in folder.iterdir() if path.name not in before)
    for path in made:
        path.chmod(0o444)
    return made


def _database_url(role: str, service: str) -> str:
    return f"postgresql://{role}:{random_password()}@{_POSTGRES}/readmit_{service}"
