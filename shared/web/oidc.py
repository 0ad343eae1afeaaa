"""The client side of OpenID Connect: authorization code flow with PKCE (RFC 7636), one provider."""

from __future__ import annotations

import base64
import hashlib
import secrets
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import KeySet
from pydantic import BaseModel, SecretStr, ValidationError

from shared.kit.clock import Clock, utc_now
from shared.web.sessions import is_loopback

_ALGORITHMS = ["RS256", "ES256", "EdDSA", "Ed25519"]
# Between the provider's clock and ours, for exp and iat of the ID token.
_LEEWAY_SECONDS = 60
_TIMEOUT = httpx.Timeout(5.0)
# Providers rotate keys within days; an unknown key id asks again at once.
_METADATA_LIFETIME = timedelta(minutes=10)


class ProviderUnavailableError(Exception):
    """The provider can't be reached or doesn't speak OpenID Connect: nothing that the person did wrong."""


class SignInRejectedError(Exception):
    """The provider or its answer said no; the text is for logs."""


@dataclass(frozen=True)
class OidcSettings:
    issuer: str
    client_id: str | None
    client_secret: SecretStr | None
    redirect_url: str
    """Our ``/signin/callback``, from the public address: registered with the provider, never built from ``Host``."""
    scopes: tuple[str, ...] = ()
    """What the console needs, besides ``openid`` and ``profile``."""

    @property
    def configured(self) -> bool:
        return bool(self.client_id and self.client_secret and self.client_secret.get_secret_value())


@dataclass(frozen=True)
class Tokens:
    access_token: str
    name: str | None


class _Metadata(BaseModel):
    """The members of OpenID Connect Discovery 1.0, section 3, that we use."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    authorization_response_iss_parameter_supported: bool = False


class _TokenResponse(BaseModel):
    access_token: str
    id_token: str


def code_challenge(verifier: str) -> str:
    """S256 of RFC 7636, section 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _verified(id_token: str, keys: KeySet) -> dict[str, Any]:
    with warnings.catch_warnings():
        # Providers sign as EdDSA, the name that RFC 9864 retires; the algorithm under it is the same Ed25519.
        warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)
        return dict(jwt.decode(id_token, keys, algorithms=_ALGORITHMS).claims)


class Provider:
    """Talks to the issuer, and only when somebody signs in."""

    def __init__(
        self,
        settings: OidcSettings,
        *,
        connect: Callable[[], httpx.AsyncClient] | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.settings = settings
        self._connect = connect or (lambda: httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False))
        self._clock = clock
        self._metadata: _Metadata | None = None
        self._keys: KeySet | None = None
        self._read_at: datetime | None = None

    async def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where the browser goes. Raises ProviderUnavailableError."""
        metadata, _ = await self._discovered()
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id or "",
            "redirect_uri": self.settings.redirect_url,
            "scope": " ".join(dict.fromkeys(("openid", "profile", *self.settings.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        separator = "&" if "?" in metadata.authorization_endpoint else "?"
        return f"{metadata.authorization_endpoint}{separator}{urlencode(query, quote_via=quote)}"

    async def redeem(self, *, code: str, verifier: str, nonce: str, iss: str | None) -> Tokens:
        """The tokens for the code, the ID token checked. Raises SignInRejectedError, ProviderUnavailableError."""
        metadata, _ = await self._discovered()
        # RFC 9207: the answer says whose it is, so that one provider's code isn't handed to another.
        if (iss is not None or metadata.authorization_response_iss_parameter_supported) and iss != metadata.issuer:
            raise SignInRejectedError("the answer came from another issuer")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.settings.redirect_url,
            "code_verifier": verifier,
        }
        answer = await self._request("POST", metadata.token_endpoint, **self._authentication(metadata, form))
        if answer.status_code >= 500:
            raise ProviderUnavailableError(f"the token endpoint answered {answer.status_code}")
        if answer.status_code != 200:
            raise SignInRejectedError(f"the token endpoint answered {answer.status_code}")
        try:
            tokens = _TokenResponse.model_validate_json(answer.content)
        except ValidationError as error:
            raise SignInRejectedError("the token endpoint's answer lacks tokens") from error
        claims = await self._id_token_claims(tokens.id_token, nonce)
        name = claims.get("name") or claims.get("email")
        return Tokens(tokens.access_token, name if isinstance(name, str) else None)

    def _authentication(self, metadata: _Metadata, form: dict[str, str]) -> dict[str, Any]:
        client_id = self.settings.client_id or ""
        secret = self.settings.client_secret.get_secret_value() if self.settings.client_secret else ""
        if "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
            # RFC 6749, section 2.3.1: both are form-encoded before they become a Basic credential.
            return {"data": form, "auth": (quote(client_id, safe=""), quote(secret, safe=""))}
        return {"data": form | {"client_id": client_id, "client_secret": secret}}

    async def _id_token_claims(self, id_token: str, nonce: str) -> dict[str, Any]:
        """OpenID Connect Core 1.0, section 3.1.3.7."""
        metadata, keys = await self._discovered()
        try:
            claims = _verified(id_token, keys)
        except (JoseError, ValueError):
            # Perhaps signed by a key that is newer than what we read.
            self._read_at = None
            metadata, keys = await self._discovered()
            try:
                claims = _verified(id_token, keys)
            except (JoseError, ValueError) as error:
                raise SignInRejectedError(f"the ID token's signature: {type(error).__name__}") from error
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != metadata.issuer:
            raise SignInRejectedError("the ID token is another issuer's")
        if self.settings.client_id not in audiences or claims.get("azp", self.settings.client_id) != (
            self.settings.client_id
        ):
            raise SignInRejectedError("the ID token is for another client")
        if not secrets.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
            raise SignInRejectedError("the ID token's nonce is not ours")
        expires = claims.get("exp")
        if not isinstance(expires, int | float) or expires + _LEEWAY_SECONDS <= self._clock().timestamp():
            raise SignInRejectedError("the ID token is expired")
        return claims

    async def _discovered(self) -> tuple[_Metadata, KeySet]:
        fresh = self._read_at is not None and self._clock() - self._read_at < _METADATA_LIFETIME
        if fresh and self._metadata is not None and self._keys is not None:
            return self._metadata, self._keys
        issuer = self.settings.issuer
        found = await self._request("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        try:
            metadata = _Metadata.model_validate_json(found.content)
        except ValidationError as error:
            raise ProviderUnavailableError(f"discovery answered {found.status_code} without OpenID metadata") from error
        if metadata.issuer != issuer:
            raise ProviderUnavailableError(f"discovery of {issuer} names another issuer")
        for endpoint in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
            if not endpoint.startswith("https://") and not is_loopback(endpoint):
                raise ProviderUnavailableError("an endpoint of the issuer is neither https nor on this machine")
        keys = await self._request("GET", metadata.jwks_uri)
        try:
            self._keys = KeySet.import_key_set(keys.json())
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise ProviderUnavailableError("the issuer's key set can't be read") from error
        self._metadata, self._read_at = metadata, self._clock()
        return metadata, self._keys

    async def _request(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            async with self._connect() as client:
                return await client.request(method, url, headers={"Accept": "application/json"}, **options)
        except httpx.HTTPError as error:
            raise ProviderUnavailableError(f"{method} failed: {type(error).__name__}") from error
