"""Secrets that settings leave out: generated once under the data folder, readable by their owner only, and kept."""

import base64
import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from deploy.errors import USAGE, CommandError


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def random_password() -> str:
    return secrets.token_urlsafe(24)


def _pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


_SETTINGS: dict[str, Callable[[], str]] = {
    "HASH_KEY": _random_key,
    "CODE_KEY": _random_key,
    "SESSION_KEY": _random_key,
    "AUDIT_SUBJECT_KEY": _random_key,
    "GRANT_KEY": lambda: _pem(ec.generate_private_key(ec.SECP256R1())),
    "AUDIT_SIGNING_KEY": lambda: _pem(ed25519.Ed25519PrivateKey.generate()),
}
SECRET_SETTINGS = tuple(_SETTINGS)


@dataclass(frozen=True)
class Secrets:
    """A folder of secrets, a file each."""

    folder: Path

    def setting(self, name: str) -> Path:
        """The file of one of `SECRET_SETTINGS`, made when it is not there yet."""
        return self.named(name.lower(), name)

    def named(self, file: str, setting: str) -> Path:
        """The same under a name of its own: two services need not share a key."""
        return self._kept(file, _SETTINGS[setting])

    def text(self, name: str, text: str) -> Path:
        """A file that holds this, unless it is there already."""
        return self._kept(name, lambda: text)

    def password(self, name: str) -> str:
        """A password of ours (letters, digits, `-` and `_`: it goes into URLs and SQL), the same each time."""
        return self._kept(name, random_password).read_text()

    def password_file(self, name: str) -> Path:
        """The file that `password` keeps."""
        self.password(name)
        return self.folder / name

    def _kept(self, name: str, generate: Callable[[], str]) -> Path:
        path = self.folder / name
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(path, generate())
        return path


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 that is there as a whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def verifier_key(origin: str, signing_keys: str) -> str:
    """The C2SP note verifier key of the newest Ed25519 key in a sequence of PKCS#8 PEM blocks."""
    block = signing_keys.partition("-----END PRIVATE KEY-----")
    try:
        key = serialization.load_pem_private_key("".join(block[:2]).strip().encode(), password=None)
    except ValueError as error:
        raise CommandError("READMIT_AUDIT_SIGNING_KEY is not a PKCS#8 PEM block", exit_code=USAGE) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise CommandError("READMIT_AUDIT_SIGNING_KEY is not an Ed25519 key", exit_code=USAGE)
    typed = b"\x01" + key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    key_id = hashlib.sha256(origin.encode() + b"\n" + typed).digest()[:4]
    return f"{origin}+{key_id.hex()}+{base64.b64encode(typed).decode()}"
