"""The platform's signatures: access tokens (RFC 9068) and id tokens."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from deploy.demo.identity import material

AUDIENCE = "readmit"
LIFETIME_SECONDS = 8 * 3600


class Signer:
    """Signs with the folder's key, in the name of one issuer."""

    def __init__(self, demo_dir: Path, issuer: str) -> None:
        self.issuer = issuer.rstrip("/")
        key = ECKey.import_key(material.signing_key_pem(demo_dir))
        self._key = ECKey.import_key(key.as_pem(private=True), {"kid": key.thumbprint(), "use": "sig", "alg": "ES256"})

    def public_keys(self) -> dict[str, Any]:
        """The JWK Set."""
        return {"keys": [self._key.as_dict(private=False)]}

    def access_token(self, subject: str, scope: str, *, lifetime: int = LIFETIME_SECONDS, **claims: str) -> str:
        """A bearer token for Readmit; `lifetime` in seconds."""
        now = int(time.time())
        return self.sign(
            "at+jwt",
            {
                "iss": self.issuer,
                "aud": AUDIENCE,
                "sub": subject,
                "scope": scope,
                "iat": now,
                "exp": now + lifetime,
                "jti": secrets.token_urlsafe(12),
                **claims,
            },
        )

    def sign(self, typ: str, claims: Mapping[str, Any]) -> str:
        return jwt.encode({"alg": "ES256", "typ": typ, "kid": self._key.kid}, dict(claims), self._key)

    def subject_of(self, access_token: str) -> str | None:
        """The account of one of our own access tokens that is still good, or None."""
        try:
            token = jwt.decode(access_token, KeySet([self._key]), algorithms=["ES256"])
            registry = jwt.JWTClaimsRegistry(
                iss={"essential": True, "value": self.issuer}, aud={"essential": True, "value": AUDIENCE},
                exp={"essential": True},
            )  # fmt: skip
            registry.validate(token.claims)
        except (JoseError, ValueError):
            return None
        return str(token.claims["sub"]) if token.header.get("typ") == "at+jwt" else None
