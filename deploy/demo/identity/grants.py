"""Checking the grants that Readmit's recovery service signs."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

TYPE = "readmit-grant+jwt"
_KNOWN_ACTIONS = frozenset({"reset-password", "remove-2fa"})
# Recovery promises ten minutes; a grant that says more is not one of its.
_LONGEST_SECONDS = 600
_LEEWAY_SECONDS = 30
# Keys are fetched again after this, or for an unknown `kid`, but not more often than once in `_REFRESH_SECONDS`.
_CACHE_SECONDS, _REFRESH_SECONDS = 3600, 10


@dataclass(frozen=True)
class Grant:
    """A grant whose signature and claims hold; whether it was used before is for the database to say."""

    jti: str
    account_id: str
    actions: frozenset[str]
    expires_at: float


class GrantRefused(Exception):
    """The grant is not one to honour; the message says why, for the log."""


class KeysUnavailable(Exception):
    """Recovery's keys could not be had; the grant is still good."""


class GrantVerifier:
    """`issuer` is recovery's public address, `keys_url` its address for us: the same, outside of tests."""

    def __init__(self, issuer: str, audience: str, client: httpx.AsyncClient, keys_url: str | None = None) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys_url = keys_url or f"{issuer}/.well-known/jwks.json"
        self._client = client
        self._keys: KeySet | None = None
        self._fetched_at = 0.0

    async def verify(self, text: str) -> Grant:
        """Raises GrantRefused or KeysUnavailable."""
        keys = await self._current_keys(_CACHE_SECONDS)
        try:
            token = self._decode(text, keys)
        except (JoseError, ValueError):
            # The key may be newer than what we know: once more with fresh ones.
            token = self._decode_or_refuse(text, await self._current_keys(_REFRESH_SECONDS))
        if token.header.get("typ") != TYPE:
            raise GrantRefused("typ")
        return self._grant(token.claims)

    def _decode(self, text: str, keys: KeySet) -> jwt.Token:
        return jwt.decode(text, keys, algorithms=["ES256"])

    def _decode_or_refuse(self, text: str, keys: KeySet) -> jwt.Token:
        try:
            return self._decode(text, keys)
        except (JoseError, ValueError) as error:
            raise GrantRefused("signature") from error

    def _grant(self, claims: dict[str, object]) -> Grant:
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._audience},
            exp={"essential": True},
            sub={"essential": True},
            jti={"essential": True},
        )
        try:
            registry.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise GrantRefused(str(error)) from error
        expires_at, actions = claims["exp"], claims.get("actions")
        if not isinstance(expires_at, int | float) or expires_at > time.time() + _LONGEST_SECONDS + _LEEWAY_SECONDS:
            raise GrantRefused("exp")
        if not isinstance(actions, list) or not actions or not _KNOWN_ACTIONS.issuperset(map(str, actions)):
            raise GrantRefused("actions")
        return Grant(str(claims["jti"]), str(claims["sub"]), frozenset(map(str, actions)), float(expires_at))

    async def _current_keys(self, longest_age: float) -> KeySet:
        now = time.monotonic()
        if self._keys is None or now - self._fetched_at > longest_age:
            try:
                response = await self._client.get(self._keys_url)
                response.raise_for_status()
                self._keys = KeySet.import_key_set(response.json())
                self._fetched_at = now
            except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
                if self._keys is None:
                    raise KeysUnavailable(str(error)) from error
        return self._keys
