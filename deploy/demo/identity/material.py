"""What is made once for a data folder and kept there: the signing key, and what accounts start with.

The starting passwords, authenticator secrets and backup codes follow from one random secret of the folder and the
account's id. So they differ from one demo to the next, are the same after a restart, and `ready.json` can show them
although the database holds only hashes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

_WORDS = (
    "amber", "anchor", "apple", "autumn", "basil", "beacon", "birch", "bridge", "candle", "canyon", "cedar",
    "cherry", "cloud", "clover", "copper", "coral", "cotton", "cricket", "dune", "ember", "falcon", "fern", "fjord",
    "flint", "garnet", "ginger", "glacier", "harbor", "hazel", "heron", "indigo", "ivory", "jasmine", "juniper",
    "kettle", "lagoon", "lantern", "lemon", "linen", "lotus", "maple", "marble", "meadow", "mellow", "nectar",
    "nutmeg", "oak", "ocean", "olive", "onyx", "orchid", "otter", "pebble", "pepper", "pine", "plum", "quartz",
    "quill", "raven", "ribbon", "river", "saffron", "silver", "spruce",
)  # fmt: skip


def _kept(path: Path, make: bytes) -> bytes:
    """The file's content, after creating it with `make` if it is not there; two processes may race for it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
        with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(make)
        try:
            os.link(unfinished, path)
        except FileExistsError:
            pass
        finally:
            unfinished.unlink()
    return path.read_bytes()


def folder_secret(demo_dir: Path) -> bytes:
    return _kept(demo_dir / "identity.secret", secrets.token_bytes(32))


def signing_key_pem(demo_dir: Path) -> bytes:
    """The platform's ES256 key as PKCS#8 PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    fresh = ec.generate_private_key(ec.SECP256R1())
    return _kept(
        demo_dir / "identity-signing-key.pem",
        fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _derived(secret: bytes, purpose: str, account_id: str, length: int) -> bytes:
    return hmac.digest(secret, f"{purpose}\0{account_id}".encode(), hashlib.sha512)[:length]


def initial_password(secret: bytes, account_id: str) -> str:
    """Four words and two digits, about 31 bits: readable, for an account of a demo that locks after five failures."""
    material = _derived(secret, "password", account_id, 6)
    words = [_WORDS[byte % len(_WORDS)] for byte in material[:4]]
    return "-".join([*words, f"{material[4] % 100:02d}"])


def initial_totp_secret(secret: bytes, account_id: str) -> bytes:
    return _derived(secret, "totp", account_id, 20)


def initial_backup_codes(secret: bytes, account_id: str, count: int) -> list[str]:
    return [_backup_code(_derived(secret, f"backup code {number}", account_id, 5)) for number in range(count)]


def new_backup_codes(count: int = 10) -> list[str]:
    return [_backup_code(secrets.token_bytes(5)) for _ in range(count)]


def _backup_code(material: bytes) -> str:
    text = base64.b32encode(material).decode().lower()
    return f"{text[:4]}-{text[4:]}"


def backup_code_hash(secret: bytes, account_id: str, code: str) -> str:
    """A keyed hash of a code as typed: in any case, with or without the hyphen."""
    plain = "".join(character for character in code.lower() if character.isalnum())
    return hmac.digest(secret, f"{account_id}\0{plain}".encode(), hashlib.sha256).hex()
