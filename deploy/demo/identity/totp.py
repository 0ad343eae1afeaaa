"""Time-based one-time passwords (RFC 6238): SHA-1, 30 seconds, six digits, as authenticator apps have them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote

STEP_SECONDS = 30
# One step either way: phones' clocks differ, and people type across a change.
_TOLERATED_STEPS = 1


def code_at(secret: bytes, step: int, digits: int = 6) -> str:
    """HOTP (RFC 4226) for a counter."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


def matching_step(secret: bytes, code: str, now: float, after_step: int = -1) -> int | None:
    """The step that a code belongs to, or None. `after_step` is the last one used: a code works once (section 5.2)."""
    current = int(now) // STEP_SECONDS
    found = None
    for step in range(current - _TOLERATED_STEPS, current + _TOLERATED_STEPS + 1):
        if hmac.compare_digest(code_at(secret, step), code) and step > after_step:
            found = step
    return found


def as_text(secret: bytes) -> str:
    """Base32 without padding, what people type into an app."""
    return base64.b32encode(secret).decode().rstrip("=")


def from_text(text: str) -> bytes:
    """The reverse of `as_text`; raises ValueError."""
    cleaned = text.replace(" ", "").upper()
    return base64.b32decode(cleaned + "=" * (-len(cleaned) % 8))


def enrolment_uri(secret: bytes, email: str, issuer: str) -> str:
    """The otpauth address that the QR code holds."""
    label = quote(f"{issuer}:{email}", safe="")
    return f"otpauth://totp/{label}?secret={as_text(secret)}&issuer={quote(issuer, safe='')}"
