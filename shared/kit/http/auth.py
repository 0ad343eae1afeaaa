"""Bearer tokens (RFC 6750, RFC 9068) and the keys that verify them (contract section 2)."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet
from starlette.requests import Request

from shared.kit.clock import Clock, utc_now
from shared.kit.http.problems import Problem, unavailable
from shared.kit.logging import get_logger

log = get_logger(__name__)

ALGORITHMS = ("RS256", "ES256", "EdDSA", "Ed25519")  # RFC 9864 names what RFC 8037 called EdDSA; never HMAC, never none
TOKEN_TYPES = {"at+jwt", "application/at+jwt", "jwt"}
AUDIENCE = "readmit"
REFRESH_SECONDS = 60.0  # an unknown `kid` has the keys read again at most this often
NOT_BEFORE_LEEWAY = 60.0  # seconds of clock difference allowed for `nbf` and `iat`, none for `exp`


class InvalidToken(Exception):
    """The token is not to be trusted; the message is for logs and never quotes it."""


class KeysUnavailable(Exception):
    """The issuer's keys could not be read."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a valid token speaks for."""

    subject: str
    account: str | None
    scopes: frozenset[str]
    expires_at: datetime

    @property
    def actor(self) -> str:
        """How events name them: the account, else the subject."""
        return self.account or self.subject


class SigningKeys:
    """The issuer's JWKS: an https URL, http on loopback, or a file."""

    def __init__(self, location: str, *, clock: Any = time.monotonic) -> None:
        scheme = urlsplit(location).scheme
        host = urlsplit(location).hostname or ""
        if scheme == "http" and host not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("must be https, http on a loopback address, or a file path")
        self._location = location
        self._is_url = scheme in {"http", "https"}
        self._clock = clock
        self._keys: KeySet | None = None
        self._read_at = float("-inf")
        self._modified: int | None = None
        self._lock = asyncio.Lock()

    async def find(self, kid: str | None) -> list[Key]:
        """The keys that may have signed: the one named, or all where none is named.

        Raises:
            KeysUnavailable: there are none to look in.
        """
        keys = await self._current()
        matching = self._matching(keys, kid)
        if not matching and self._clock() - self._read_at >= REFRESH_SECONDS:
            matching = self._matching(await self._read(), kid)
        return matching

    @staticmethod
    def _matching(keys: KeySet, kid: str | None) -> list[Key]:
        return [key for key in keys.keys if kid is None or key.kid == kid or key.get("kid") == kid]

    async def _current(self) -> KeySet:
        if self._keys is None or (not self._is_url and self._file_changed()):
            return await self._read()
        return self._keys

    def _file_changed(self) -> bool:
        try:
            return Path(self._location).stat().st_mtime_ns != self._modified
        except OSError:
            return False

    async def _read(self) -> KeySet:
        async with self._lock:
            try:
                document = await self._fetch() if self._is_url else self._load()
                self._keys = KeySet.import_key_set(document)
            except (OSError, ValueError, KeyError, TypeError, JoseError, httpx.HTTPError) as error:
                log.warning("auth.keys_unavailable", error=type(error).__name__)
                if self._keys is None:
                    raise KeysUnavailable from error
            finally:
                self._read_at = self._clock()
            return self._keys

    async def _fetch(self) -> Any:
        async with httpx.AsyncClient(timeout=5, follow_redirects=False, trust_env=False) as client:
            response = await client.get(self._location)
            response.raise_for_status()
            return response.json()

    def _load(self) -> Any:
        path = Path(self._location)
        self._modified = path.stat().st_mtime_ns
        return json.loads(path.read_text("utf-8"))


class TokenVerifier:
    """Verifies bearer tokens against the issuer's keys."""

    def __init__(self, keys: SigningKeys, *, issuer: str, account_claim: str = "sub", clock: Clock = utc_now) -> None:
        self._keys = keys
        self._issuer = issuer
        self._account_claim = account_claim
        self._clock = clock

    async def __call__(self, token: str) -> Principal:
        """The principal of a valid token.

        Raises:
            InvalidToken: anything about it is wrong.
            KeysUnavailable: the issuer's keys can't be read.
        """
        header = _header(token)
        if header.get("alg") not in ALGORITHMS:
            raise InvalidToken("algorithm not accepted")
        if "crit" in header or "b64" in header:
            raise InvalidToken("critical header parameters are not accepted")  # CVE-2025-59420, CVE-2026-32597
        if "typ" in header and str(header["typ"]).lower() not in TOKEN_TYPES:
            raise InvalidToken("not an access token")
        kid = header.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise InvalidToken("malformed key id")
        for key in await self._keys.find(kid):
            if (claims := _verify(token, key)) is not None:
                return self._principal(claims)
        raise InvalidToken("no key verifies it")

    def _principal(self, claims: dict[str, Any]) -> Principal:
        now = self._clock().timestamp()
        audience = claims.get("aud")
        if claims.get("iss") != self._issuer:
            raise InvalidToken("wrong issuer")
        if AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
            raise InvalidToken("wrong audience")
        expires = claims.get("exp")
        if not isinstance(expires, int | float) or isinstance(expires, bool) or expires <= now:
            raise InvalidToken("expired")
        for claim in ("nbf", "iat"):
            value = claims.get(claim, 0)
            if not isinstance(value, int | float) or value > now + NOT_BEFORE_LEEWAY:
                raise InvalidToken("not valid yet")
        subject, account, scope = claims.get("sub"), claims.get(self._account_claim), claims.get("scope", "")
        if not isinstance(subject, str) or not subject or not isinstance(scope, str):
            raise InvalidToken("malformed claims")
        return Principal(
            subject=subject,
            account=account if isinstance(account, str) and account else None,
            scopes=frozenset(scope.split()),
            expires_at=datetime.fromtimestamp(min(expires, 253402300799), UTC),
        )


def _header(token: str) -> dict[str, Any]:
    from joserfc.util import urlsafe_b64decode

    parts = token.split(".")
    if len(parts) != 3 or len(token) > 16_384:
        raise InvalidToken("not a signed token")
    try:
        header = json.loads(urlsafe_b64decode(parts[0].encode()))
    except (ValueError, RecursionError):
        raise InvalidToken("malformed header") from None
    if not isinstance(header, dict):
        raise InvalidToken("malformed header")
    return header


def _verify(token: str, key: Key) -> dict[str, Any] | None:
    # The key decides what it verifies: a public key never becomes an HMAC secret (algorithm confusion).
    algorithms = {"RSA": ["RS256"], "EC": ["ES256"], "OKP": ["EdDSA", "Ed25519"]}.get(key.key_type, [])
    try:
        return dict(jwt.decode(token, key, algorithms=algorithms).claims)
    except (JoseError, ValueError, TypeError):
        return None


class BearerAuth:
    """Authenticates requests and checks scopes, before anything of the body is read."""

    def __init__(self, verify: TokenVerifier) -> None:
        self._verify = verify

    async def optional(self, request: Request) -> Principal | None:
        """The caller's principal, or None without a token. Raises: Problem: 401 for a bad token."""
        values = request.headers.getlist("authorization")
        if not values:
            return None
        scheme, _, token = values[0].partition(" ")
        if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
            raise _unauthorized("invalid_request")
        try:
            return await self._verify(token.strip())
        except InvalidToken as error:
            log.info("auth.token_refused", reason=str(error))
            raise _unauthorized("invalid_token") from None
        except KeysUnavailable:
            raise unavailable("Tokens can't be verified at the moment.") from None

    async def require(self, request: Request, *scopes: str) -> Principal:
        """The caller's principal, who has one of the scopes. Raises: Problem: 401, or 403 without the scope."""
        principal = await self.optional(request)
        if principal is None:
            raise _unauthorized(None)
        if principal.scopes.isdisjoint(scopes):
            scope = " ".join(scopes)
            raise Problem(
                403,
                f"The token lacks the scope {' or '.join(scopes)}.",
                slug="insufficient-scope",
                headers={"WWW-Authenticate": f'Bearer realm="readmit", error="insufficient_scope", scope="{scope}"'},
            )
        return principal


def _unauthorized(error: str | None) -> Problem:
    challenge = 'Bearer realm="readmit"' + (f', error="{error}"' if error else "")
    return Problem(401, "A valid bearer token is needed.", slug="unauthorized", headers={"WWW-Authenticate": challenge})
