"""The issuer's public keys (RFC 7517): where they are read from, and when again."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from joserfc.util import base64_to_int

from shared.kit.logging import get_logger

log = get_logger(__name__)

REFRESH_SECONDS = 60.0  # an unknown `kid` has the keys read again at most this often
AWAY_SECONDS = 1.0  # while there are no keys at all, the issuer is asked at most this often
FETCH_SECONDS = 5.0
LEAST_RSA_BITS = 2048  # RFC 7518, section 3.3

# One malformed key must not take the others with it, and what malformed input makes joserfc raise is not all its own.
_UNREADABLE = (JoseError, ValueError, KeyError, TypeError, AttributeError)


class KeysUnavailable(Exception):
    """The issuer's keys could not be read."""


class SigningKeys:
    """The issuer's JWKS: an https URL, http on loopback, or a file.

    Raises:
        ValueError: it is at none of these.
    """

    def __init__(self, location: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        scheme, separator, _ = location.partition("://")
        self._is_url = bool(separator)
        if self._is_url and not _is_trusted(scheme.lower(), urlsplit(location).hostname or ""):
            raise ValueError("must be an https URL, http on a loopback address, or a file path")
        self._location = location
        self._clock = clock
        self._keys: list[Key] | None = None
        self._read_at = float("-inf")
        self._reads = 0
        self._state: tuple[int, int, int] | None = None
        self._lock = asyncio.Lock()

    async def find(self, kid: str | None) -> list[Key]:
        """The keys that may have signed: the one named, or all where none is named.

        Raises:
            KeysUnavailable: there are none to look in.
        """
        keys = await self._current()
        matching = _matching(keys, kid)
        if not matching and self._clock() - self._read_at >= REFRESH_SECONDS:
            matching = _matching(await self._read(), kid)
        return matching

    async def _current(self) -> list[Key]:
        if self._keys is None:
            if self._clock() - self._read_at < AWAY_SECONDS:
                raise KeysUnavailable
            return await self._read()
        if not self._is_url and self._file_changed():
            return await self._read()
        return self._keys

    def _file_changed(self) -> bool:
        try:
            return _state_of(Path(self._location)) != self._state
        except OSError:
            return False

    async def _read(self) -> list[Key]:
        seen = self._reads
        async with self._lock:
            # Who waited for the lock while somebody else read takes what that one got: a hundred tokens with unknown
            # keys at once are one request to the issuer.
            if self._reads == seen:
                await self._read_once()
        if self._keys is None:
            raise KeysUnavailable
        return self._keys

    async def _read_once(self) -> None:
        try:
            document = await self._fetch() if self._is_url else self._load()
            self._keys = _usable(document)
        except (OSError, RecursionError, httpx.HTTPError, httpx.InvalidURL, TimeoutError, *_UNREADABLE) as error:
            log.warning("auth.keys_unavailable", error=type(error).__name__)  # what we had stays good
        finally:
            self._read_at = self._clock()
            self._reads += 1

    async def _fetch(self) -> Any:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False, trust_env=False) as client,
        ):
            response = await client.get(self._location)
            response.raise_for_status()
            return response.json()

    def _load(self) -> Any:
        path = Path(self._location)
        self._state = _state_of(path)
        return json.loads(path.read_text("utf-8"))


def _is_trusted(scheme: str, host: str) -> bool:
    if scheme == "https":
        return bool(host)
    try:
        return scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


def _state_of(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written or replaced, even within one tick of the file system's clock."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _usable(document: Any) -> list[Key]:
    """The keys of a JWKS that could verify a token; others are passed over (RFC 7517, section 5)."""
    keys = [key for item in document["keys"] if (key := _import(item)) is not None]
    if not keys:
        raise ValueError("no usable key")
    return keys


def _import(item: Any) -> Key | None:
    try:
        # `oct` never: a secret does not belong in a published key set, and an HMAC key verifies nothing here.
        if item["kty"] not in {"RSA", "EC", "OKP"} or item.get("use", "sig") != "sig":
            return None
        if item["kty"] == "RSA" and base64_to_int(item["n"]).bit_length() < LEAST_RSA_BITS:
            log.warning("auth.key_too_small")
            return None
        key = JWKRegistry.import_key(item)
    except _UNREADABLE as error:
        log.warning("auth.key_unreadable", error=type(error).__name__)
        return None
    return key


def _matching(keys: list[Key], kid: str | None) -> list[Key]:
    return [key for key in keys if kid is None or key.kid == kid]
