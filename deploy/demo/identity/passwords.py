"""Password hashes (scrypt) and what a new password must be."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading

MINIMUM_LENGTH = 12
MAXIMUM_LENGTH = 256
# 16 MiB and about 50 ms: OWASP's advice of 2**17 would make twenty accounts at the first start take seconds.
_N, _R, _P = 2**14, 8, 1

# The long ones of the usual lists of leaked passwords; shorter ones fail by length already.
_COMMON = frozenset(
    {
        "123456789012", "1234567890123", "12345678901234", "123123123123", "111111111111", "000000000000",
        "password1234", "password12345", "passwordpassword", "password123456", "qwertyuiop12", "qwertyuiop123",
        "qwertyuiop[]", "qwerty123456", "qwertyqwerty", "1q2w3e4r5t6y", "1qaz2wsx3edc", "zaq12wsxcde3",
        "abcdefghijkl", "abcd12345678", "abcabcabcabc", "iloveyou1234", "iloveyouiloveyou", "letmeinletmein",
        "welcome12345", "welcome123456", "administrator", "adminadminadmin", "admin1234567", "changeme1234",
        "changemechangeme", "footballfootball", "princess1234", "sunshine1234", "monkeymonkey", "dragondragon",
        "correcthorsebatterystaple", "correct horse battery staple", "trustno1trustno1", "superman1234",
    }
)  # fmt: skip


def hashed(password: str) -> str:
    salt = secrets.token_bytes(16)
    return f"scrypt${_N}${salt.hex()}${_derive(password, salt, _N).hex()}"


def matches(password: str, stored: str) -> bool:
    _, n, salt, digest = stored.split("$")
    return hmac.compare_digest(_derive(password, bytes.fromhex(salt), int(n)), bytes.fromhex(digest))


# 16 MiB each: without a limit, forty worker threads would take 640 MiB.
_at_once = threading.BoundedSemaphore(2)


def _derive(password: str, salt: bytes, n: int) -> bytes:
    # NFKC would be kinder to people who type accents on two keyboards; bytes as typed are enough here.
    with _at_once:
        return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=_R, p=_P)


# Compared with for addresses that nobody has, so that they take as long as others.
NOBODY = hashed(secrets.token_urlsafe())


def problem_with(password: str, again: str, email: str) -> str | None:
    """Why a new password is refused, for people, or None."""
    if password != again:
        return "The two passwords are not the same."
    if len(password) < MINIMUM_LENGTH:
        return f"Use at least {MINIMUM_LENGTH} characters."
    if len(password) > MAXIMUM_LENGTH:
        return f"Use at most {MAXIMUM_LENGTH} characters."
    plain = password.lower()
    if plain in _COMMON or len(set(plain)) < 4:
        return "This is one of the first passwords that an attacker tries. Choose another."
    if plain in (email.lower(), email.lower().partition("@")[0]):
        return "The password must not be your email address."
    return None
