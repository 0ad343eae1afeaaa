"""Checkpoints: ours, and those of a published log."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.audit.domain.notes import Checkpoint, CheckpointSigner, InvalidNote, open_checkpoint
from tests.unit.audit.vectors import vectors

PUBLISHED_KEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
ROOT = bytes(range(32))


def pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def signer() -> CheckpointSigner:
    return CheckpointSigner("example.org/log", [pem()])


def test_the_published_checkpoints_are_good() -> None:
    log = vectors("tlog-tiles") / "log"
    for size in range(16):
        checkpoint = open_checkpoint((log / f"checkpoint.{size}").read_text(), PUBLISHED_KEY)
        assert (checkpoint.origin, checkpoint.size) == ("example.com/log/testdata", size)


def test_what_is_signed_is_read_back(signer: CheckpointSigner) -> None:
    note = signer.sign(12, ROOT)
    assert note.startswith(f"example.org/log\n12\n{base64.b64encode(ROOT).decode()}\n\n— example.org/log ")
    assert open_checkpoint(note, signer.verifier_key) == Checkpoint("example.org/log", 12, ROOT)


def test_a_changed_note_is_refused(signer: CheckpointSigner) -> None:
    note = signer.sign(12, ROOT)
    for changed in (
        note.replace("\n12\n", "\n13\n"),
        note.replace("\n12\n", "\n012\n"),
        note.replace("example.org", "example.com"),
        note.replace("— ", "- "),
        note[:-1],
        note.replace("\n\n", "\n"),
        "",
        "\n\n",
    ):
        with pytest.raises(InvalidNote):
            open_checkpoint(changed, signer.verifier_key)


def test_another_key_of_the_same_name_did_not_sign_it(signer: CheckpointSigner) -> None:
    with pytest.raises(InvalidNote, match="did not sign"):
        open_checkpoint(signer.sign(1, ROOT), CheckpointSigner("example.org/log", [pem()]).verifier_key)


def test_after_a_rotation_both_verifier_keys_go_on() -> None:
    old, new = pem(), pem()
    before, after = CheckpointSigner("example.org/log", [old]), CheckpointSigner("example.org/log", [new, old])
    note = after.sign(5, ROOT)
    assert after.verifier_key != before.verifier_key
    assert open_checkpoint(note, before.verifier_key) == open_checkpoint(note, after.verifier_key)


@pytest.mark.parametrize(
    "key", ["", "a+b", "a+00000000+AAAA", PUBLISHED_KEY[:-1], PUBLISHED_KEY.replace("33d7", "33d8")]
)
def test_a_malformed_verifier_key_is_refused(signer: CheckpointSigner, key: str) -> None:
    with pytest.raises(InvalidNote):
        open_checkpoint(signer.sign(1, ROOT), key)


def test_other_kinds_of_keys_do_not_sign() -> None:
    ec = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="Ed25519"):
        CheckpointSigner("example.org/log", [ec])
