import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from deploy.errors import CommandError
from deploy.local.secrets import SECRET_SETTINGS, Secrets, verifier_key


@pytest.mark.parametrize("name", SECRET_SETTINGS)
def test_a_secret_is_made_once_and_kept(tmp_path: Path, name: str) -> None:
    first = Secrets(tmp_path / "secrets").setting(name)
    text = first.read_text()
    assert Secrets(tmp_path / "secrets").setting(name).read_text() == text
    assert first.stat().st_mode & 0o777 == 0o600
    assert first.parent.stat().st_mode & 0o777 == 0o700
    assert Secrets(tmp_path / "others").setting(name).read_text() != text


@pytest.mark.parametrize("name", ["HASH_KEY", "CODE_KEY", "SESSION_KEY", "AUDIT_SUBJECT_KEY"])
def test_symmetric_keys_are_32_bytes_in_base64(tmp_path: Path, name: str) -> None:
    assert len(base64.b64decode(Secrets(tmp_path).setting(name).read_text(), validate=True)) == 32


def test_private_keys_are_pkcs8(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    grant = serialization.load_pem_private_key(secrets.setting("GRANT_KEY").read_bytes(), None)
    signing = serialization.load_pem_private_key(secrets.setting("AUDIT_SIGNING_KEY").read_bytes(), None)
    assert isinstance(grant, ec.EllipticCurvePrivateKey)
    assert grant.curve.name == "secp256r1"
    assert isinstance(signing, ed25519.Ed25519PrivateKey)


def test_passwords_need_no_quoting(tmp_path: Path) -> None:
    password = Secrets(tmp_path).password("readmit_intake")
    assert password == Secrets(tmp_path).password("readmit_intake")
    assert password.replace("-", "").replace("_", "").isalnum()


def test_verifier_key_follows_the_note_format() -> None:
    newest, older = (ed25519.Ed25519PrivateKey.generate() for _ in range(2))
    pem = "".join(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        for key in (newest, older)
    )
    public = newest.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    key_id = hashlib.sha256(b"log.example.org\n\x01" + public).hexdigest()[:8]
    typed = base64.b64encode(b"\x01" + public).decode()
    assert verifier_key("log.example.org", pem) == f"log.example.org+{key_id}+{typed}"


@pytest.mark.parametrize("text", ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_what_is_no_signing_key_is_named(text: str) -> None:
    with pytest.raises(CommandError, match="READMIT_AUDIT_SIGNING_KEY"):
        verifier_key("log.example.org", text)


def test_an_interrupted_write_leaves_no_half_secret(tmp_path: Path) -> None:
    (tmp_path / ".hash_key.new").write_text("half")
    assert len(base64.b64decode(Secrets(tmp_path).setting("HASH_KEY").read_text())) == 32
