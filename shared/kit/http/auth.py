"""Bearer tokens (RFC 6750, RFC 9068) and the keys that verify them (contract section 2)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeGuard

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import Key
from joserfc.util import urlsafe_b64decode
from starlette.requests import Request

from shared.kit.clock import Clock, utc_now
from shared.kit.http.keys import KeysUnavailable as KeysUnavailable
from shared.kit.http.keys import SigningKeys as SigningKeys
from shared.kit.http.problems import Problem, unavailable
from shared.kit.logging import get_logger
from shared.schemas import strict_json

log = get_logger(__name__)

ALGORITHMS = ("RS256", "ES256", "EdDSA", "Ed25519")  # RFC 9864 names what RFC 8037 called EdDSA; never HMAC, never none
TOKEN_TYPES = {"at+jwt", "application/at+jwt", "jwt"}
AUDIENCE = "readmit"
MAX_TOKEN = 16_384
MAX_ACCOUNT, MAX_SUBJECT = 128, 160  # characters that events hold (`AccountId`, `Actor` of shared.schemas.values)
NOT_BEFORE_LEEWAY = 60.0  # seconds of clock difference allowed for `nbf` and `iat`, none for `exp`
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")  # RFC 7515, section 7.1


class InvalidToken(Exception):
    """The token is not to be trusted; the message is for logs and never quotes it."""


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
        expires = _number(claims.get("exp"))
        if expires <= now:
            raise InvalidToken("expired")
        if any(_number(claims.get(claim, 0)) > now + NOT_BEFORE_LEEWAY for claim in ("nbf", "iat")):
            raise InvalidToken("not valid yet")
        subject, account, scope = claims.get("sub"), claims.get(self._account_claim), claims.get("scope", "")
        if not _is_name(subject, MAX_SUBJECT) or not isinstance(scope, str):
            raise InvalidToken("malformed claims")
        return Principal(
            subject=subject,
            account=account if _is_name(account, MAX_ACCOUNT) else None,
            scopes=frozenset(scope.split(" ")) - {""},  # RFC 6749, section 3.3: spaces and nothing else
            expires_at=datetime.fromtimestamp(min(expires, 253402300799), UTC),
        )


def _number(value: Any) -> float:
    """A NumericDate (RFC 7519, section 2); NaN is greater than no time, so it must not get as far as a comparison."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise InvalidToken("malformed claims")
    return value


def _is_name(value: Any, longest: int) -> TypeGuard[str]:
    """Whether events can name an actor so: they are published with what the token says."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= longest
        and not any(unicodedata.category(character) in {"Cc", "Cs"} for character in value)
    )


def _header(token: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN or not _COMPACT.fullmatch(token):
        raise InvalidToken("not a signed token")
    try:
        return _object(urlsafe_b64decode(token.partition(".")[0].encode()))
    except (ValueError, RecursionError):
        raise InvalidToken("malformed header") from None


def _object(raw: bytes) -> dict[str, Any]:
    """A JSON object in which no member occurs twice (RFC 7515, section 4): else two readers see two tokens."""
    value = strict_json.load(raw)
    strict_json.check(value)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


class _Registry(jws.JWSRegistry):
    """joserfc's, for keys of one type: no limit of its own on headers, no refusal of header parameters that it doesn't
    know (RFC 7515, section 4: ignored), and no warning that our tokens' `EdDSA` has another name since RFC 9864."""

    max_header_length = MAX_TOKEN

    def get_alg(self, name: str) -> Any:  # joserfc exports no name for its algorithms' class
        if name not in (self.allowed or ()) or name not in self.algorithms:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


# The key decides what it verifies: a public key never becomes an HMAC secret (algorithm confusion).
_BY_KEY_TYPE = {
    "RSA": _Registry(algorithms=["RS256"], strict_check_header=False),
    "EC": _Registry(algorithms=["ES256"], strict_check_header=False),
    "OKP": _Registry(algorithms=["EdDSA", "Ed25519"], strict_check_header=False),
}


def _verify(token: str, key: Key) -> dict[str, Any] | None:
    if key.key_type == "OKP" and key.get("crv") != "Ed25519":
        return None
    try:
        signed = jws.deserialize_compact(token, key, registry=_BY_KEY_TYPE[key.key_type])
        return _object(signed.payload)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
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
