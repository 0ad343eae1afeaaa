"""Grants: short-lived signed tokens with which the identity platform lets a person set things right."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from shared.kit.clock import Clock, utc_now
from shared.kit.settings import PemKeys

LIFETIME = timedelta(seconds=600)
TYPE = "readmit-grant+jwt"


class GrantSigner:
    """Signs with the newest key (ES256) and publishes all of them, so that a grant of a moment ago still verifies."""

    def __init__(self, keys: PemKeys, *, issuer: str, audience: str, clock: Clock = utc_now) -> None:
        """Raises ValueError for a key that is not on P-256."""
        self._keys = load_keys(keys)
        self._issuer = issuer
        self._audience = audience
        self._clock = clock

    def __call__(self, *, account_id: str, actions: Sequence[str], reference_id: str | None) -> str:
        key = self._keys[0]
        issued_at = int(self._clock().timestamp())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": account_id,
            "jti": secrets.token_urlsafe(24),
            "iat": issued_at,
            "exp": issued_at + int(LIFETIME.total_seconds()),
            "actions": list(actions),
        }
        if reference_id is not None:
            claims["reference_id"] = reference_id
        return jwt.encode({"alg": "ES256", "typ": TYPE, "kid": key.kid}, claims, key)

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK Set (RFC 7517, section 5)."""
        return {"keys": [{**key.as_dict(private=False), "use": "sig", "alg": "ES256"} for key in self._keys]}


def load_keys(keys: PemKeys) -> list[ECKey]:
    """The keys, each with its thumbprint (RFC 7638) as its id. Raises ValueError."""
    try:
        return [_load(pem) for pem in keys.blocks]
    except (JoseError, TypeError) as error:
        raise ValueError("must be EC keys on the curve P-256") from error


def _load(pem: bytes) -> ECKey:
    key = ECKey.import_key(pem)
    if key.curve_name != "P-256":
        raise ValueError("must be keys on the curve P-256")
    key.ensure_kid()
    return key
