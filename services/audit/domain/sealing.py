"""Encrypting what a message says about people, so that destroying their key makes it unreadable for good.

AES-256-GCM alone is not committing: one ciphertext can open to two texts under two keys. So each record's keys are
derived from the persons' keys together with a commitment to them, and the plaintext's HMAC stands in the entry.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_NONCE_BYTES = 12
_LARGEST = 64 * 1024 * 1024  # bytes after decompression; far above what the broker takes


class CannotOpen(ValueError):
    """The keys are not those that it was sealed with, or it was changed."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed message: what stands in the entry, and the ciphertext, which may stand beside it."""

    nonce: bytes
    commitment: bytes
    plaintext_hmac: bytes
    ciphertext: bytes


def _derive(keys: Sequence[bytes], nonce: bytes) -> tuple[bytes, bytes, bytes]:
    """Encryption key, HMAC key and commitment. Of several persons' keys each is needed: any one, destroyed, erases."""
    material = HKDF(SHA256(), 3 * KEY_BYTES, salt=nonce, info=b"readmit audit sealed v1").derive(b"".join(keys))
    return material[:32], material[32:64], material[64:]


def seal(plaintext: bytes, keys: Sequence[bytes], context: bytes) -> Sealed:
    """Seals the message for these keys, tied to its context (which event it is)."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    encryption, authentication, commitment = _derive(keys, nonce)
    ciphertext = AESGCM(encryption).encrypt(nonce, zlib.compress(plaintext, 6), context)
    return Sealed(nonce, commitment, hmac.digest(authentication, plaintext, hashlib.sha256), ciphertext)


def unseal(sealed: Sealed, keys: Sequence[bytes], context: bytes) -> bytes:
    """The message. Raises CannotOpen."""
    encryption, authentication, commitment = _derive(keys, sealed.nonce)
    if not hmac.compare_digest(commitment, sealed.commitment):
        raise CannotOpen("the key is another one")
    try:
        compressed = AESGCM(encryption).decrypt(sealed.nonce, sealed.ciphertext, context)
        inflater = zlib.decompressobj()
        plaintext = inflater.decompress(compressed, _LARGEST)
    except (InvalidTag, zlib.error):
        raise CannotOpen("it was changed") from None
    if not inflater.eof or not hmac.compare_digest(
        hmac.digest(authentication, plaintext, hashlib.sha256), sealed.plaintext_hmac
    ):
        raise CannotOpen("it is not the message that was hashed")
    return plaintext


class KeyWrapper:
    """Wraps the keys of subjects under the keys of the deployment, newest first: old ones still unwrap."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = [
            AESGCM(HKDF(SHA256(), KEY_BYTES, salt=None, info=b"readmit audit subject key v1").derive(key))
            for key in keys
        ]

    def wrap(self, key: bytes, subject_id: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, key, subject_id.encode())

    def unwrap(self, wrapped: bytes, subject_id: str) -> bytes:
        """Raises CannotOpen."""
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], subject_id.encode())
            except InvalidTag:
                continue
        raise CannotOpen("no key of READMIT_AUDIT_SUBJECT_KEY unwraps it")
