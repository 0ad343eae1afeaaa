"""Values that leave us in a cookie or a form and come back: signed, not hidden."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence


def encode(data: bytes) -> str:
    """base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The reverse; raises ValueError for anything that `encode` wouldn't have written."""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64url") from error
    if encode(data) != text:
        # Spare bits and padding would give one value several spellings.
        raise ValueError("not canonical base64url")
    return data


class Signer:
    """HMAC-SHA-256 for one purpose. Keys come newest first: the first signs, all verify.

    A key of its own is derived per purpose, so what was signed as one thing never passes as another.
    """

    def __init__(self, keys: Sequence[bytes], purpose: str) -> None:
        if not keys or any(len(key) < 32 for key in keys):
            raise ValueError("a signing key needs 32 bytes or more")
        self._keys = [hmac.digest(key, b"readmit/" + purpose.encode(), hashlib.sha256) for key in keys]

    def signature(self, payload: bytes) -> bytes:
        return hmac.digest(self._keys[0], payload, hashlib.sha256)

    def matches(self, payload: bytes, signature: bytes) -> bool:
        """Whether any of the keys made the signature, in constant time for each."""
        found = [hmac.compare_digest(hmac.digest(key, payload, hashlib.sha256), signature) for key in self._keys]
        return any(found)

    def seal(self, payload: bytes) -> str:
        return f"{encode(payload)}.{encode(self.signature(payload))}"

    def open(self, sealed: str) -> bytes | None:
        """The payload, or None for what we didn't sign."""
        head, _, tail = sealed.partition(".")
        try:
            payload, signature = decode(head), decode(tail)
        except ValueError:
            return None
        return payload if self.matches(payload, signature) else None
