"""Keyed hashes of texts that are not addresses, to refer to them without holding them."""

from __future__ import annotations

import hashlib
import hmac


class KeyedHash:
    """HMAC-SHA-256, 32 hexadecimal digits (128 bits). The parts are kept apart, so that no two lists hash alike."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, *parts: str) -> str:
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:32]
