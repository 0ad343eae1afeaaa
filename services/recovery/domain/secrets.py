"""Recovery codes and link tokens: how they are made, read, shown and kept.

Kept is a salted HMAC-SHA-256 under a key that is not in the database. A slow hash would add nothing to 65 or 256 random
bits of which the attacker gets five guesses, and would let guesses cost the server more than the guesser.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.schemas import crockford

CODE_LENGTH = 13
"""Crockford base32 characters: 65 bits, above the 64 that NIST SP 800-63B-4 asks of saved recovery codes."""

SELECTOR_LENGTH = 4
"""The first characters select; they are no secret from whoever has the code, and worth nothing alone."""

TOKEN_BYTES = 32
SALT_BYTES = 16
_LONGEST_TYPED = 64  # every character apart, and some room

RandomBytes = Callable[[int], bytes]


def new_code(random_bytes: RandomBytes) -> str:
    """A recovery code in its canonical form, 13 characters without hyphens."""
    bits = int.from_bytes(random_bytes(9)) >> 7  # 72 - 7 = 65
    return crockford.encode(bits, CODE_LENGTH)


def show_code(code: str) -> str:
    """`XXXX-XXXX-XXXXX`: the form in the mail."""
    return f"{code[:4]}-{code[4:8]}-{code[8:]}"


def read_code(text: str) -> str | None:
    """The canonical form of what a person typed: any case, O, I and L as 0, 1 and 1, hyphens and spaces ignored."""
    try:
        code = crockford.normalise(text) if len(text) <= _LONGEST_TYPED else ""
    except ValueError:
        return None
    return code if len(code) == CODE_LENGTH else None


def selector_of(code: str) -> str:
    return code[:SELECTOR_LENGTH]


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the database holds of a secret."""

    key_id: str
    salt: bytes
    digest: bytes = field(repr=False)


class SecretSealer:
    """Seals and recognises secrets. Keys come newest first: the first seals, all recognise."""

    def __init__(self, keys: Sequence[bytes], random_bytes: RandomBytes) -> None:
        self._keys = {_key_id(key): key for key in keys}
        self._newest = next(iter(self._keys))
        self._random_bytes = random_bytes
        self._decoy = Sealed(self._newest, random_bytes(SALT_BYTES), random_bytes(32))

    def seal(self, secret: str, owner: str) -> Sealed:
        """Seals a secret for its owner, the credential's id: moved to another row, the digest matches nothing."""
        salt = self._random_bytes(SALT_BYTES)
        return Sealed(self._newest, salt, self._digest(self._newest, salt, secret, owner))

    def matches(self, sealed: Sealed | None, secret: str, owner: str) -> bool:
        """Whether the secret is the sealed one. Costs one HMAC and one comparison in every case."""
        held = sealed if sealed is not None and sealed.key_id in self._keys else self._decoy
        equal = hmac.compare_digest(held.digest, self._digest(held.key_id, held.salt, secret, owner))
        return equal and held is sealed

    def lookups(self, token: str) -> list[bytes]:
        """Under what a link token may be found, by each key: 128 bits that say nothing about the digest."""
        return [
            hmac.digest(key, b"readmit/recovery/lookup\0" + _bytes(token), hashlib.sha256)[:16]
            for key in self._keys.values()
        ]

    def _digest(self, key_id: str, salt: bytes, secret: str, owner: str) -> bytes:
        message = b"\0".join((b"readmit/recovery/secret", _bytes(owner), salt.hex().encode(), _bytes(secret)))
        return hmac.digest(self._keys[key_id], message, hashlib.sha256)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"readmit/recovery/key-id\0" + key).hexdigest()[:16]
