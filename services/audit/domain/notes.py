"""Checkpoints as signed notes (C2SP signed-note and tlog-checkpoint, https://c2sp.org/tlog-checkpoint)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

_ED25519 = b"\x01"  # signature type of the signed-note specification
_DASH = "— "  # U+2014 and a space begin a signature line


class InvalidNote(ValueError):
    """Not a checkpoint that the key signed; the text says why."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a note says: the log, how many entries it has, and the root hash over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def _key_id(name: str, typed_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + typed_key).digest()[:4]


class CheckpointSigner:
    """Signs checkpoints with every key it is given, newest first: who holds an older verifier key goes on with it."""

    def __init__(self, origin: str, pem_keys: Sequence[bytes]) -> None:
        self.origin = origin
        self._keys = []
        for pem in pem_keys:
            key = load_pem_private_key(pem, password=None)
            if not isinstance(key, Ed25519PrivateKey):
                raise ValueError("the signing key of the log must be an Ed25519 key")
            typed = _ED25519 + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            self._keys.append((key, typed))

    @property
    def verifier_key(self) -> str:
        """The newest key as verifiers want it: `<name>+<key id>+<base64 of type and public key>`."""
        typed = self._keys[0][1]
        return f"{self.origin}+{_key_id(self.origin, typed).hex()}+{base64.b64encode(typed).decode()}"

    def sign(self, size: int, root: bytes) -> str:
        text = Checkpoint(self.origin, size, root).text
        lines = []
        for key, typed in self._keys:
            signature = _key_id(self.origin, typed) + key.sign(text.encode())
            lines.append(f"{_DASH}{self.origin} {base64.b64encode(signature).decode()}\n")
        return f"{text}\n{''.join(lines)}"


def parse_verifier_key(text: str) -> tuple[str, bytes, Ed25519PublicKey]:
    """Name, key id and key. Raises InvalidNote."""
    try:
        name, hexadecimal, encoded = text.strip().split("+", 2)
        typed, key_id = base64.b64decode(encoded, validate=True), bytes.fromhex(hexadecimal)
    except ValueError:
        raise InvalidNote("not a verifier key") from None
    if not name or typed[:1] != _ED25519 or len(typed) != 33 or _key_id(name, typed) != key_id:
        raise InvalidNote("not an Ed25519 verifier key")
    return name, key_id, Ed25519PublicKey.from_public_bytes(typed[1:])


def open_checkpoint(note: str, verifier_key: str) -> Checkpoint:
    """The checkpoint of a note whose signature by the key is good.

    Raises:
        InvalidNote: malformed, of another log, or not signed by the key.
    """
    name, key_id, key = parse_verifier_key(verifier_key)
    text, blank, signatures = note.rpartition("\n\n")
    text += "\n"
    if not blank or not signatures.endswith("\n"):
        raise InvalidNote("not a signed note")
    if not any(_signed(line, name, key_id, key, text) for line in signatures[:-1].split("\n")):
        raise InvalidNote("the key did not sign it")
    return _read(text, name)


def _signed(line: str, name: str, key_id: bytes, key: Ed25519PublicKey, text: str) -> bool:
    signer, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not signer or not encoded:
        raise InvalidNote("malformed signature line")
    try:
        signature = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidNote("malformed signature line") from None
    if signer != name or signature[:4] != key_id:
        return False
    try:
        key.verify(signature[4:], text.encode())
    except InvalidSignature:
        raise InvalidNote("the signature is not good") from None
    return True


def _read(text: str, name: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 4 or lines[0] != name or not lines[1].isascii() or not lines[1].isdecimal():
        raise InvalidNote("not a checkpoint of this log")
    if lines[1] != str(int(lines[1])):
        raise InvalidNote("a size with leading zeros")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidNote("malformed root hash") from None
    if len(root) != 32:
        raise InvalidNote("a root hash has 32 bytes")
    return Checkpoint(name, int(lines[1]), root)
