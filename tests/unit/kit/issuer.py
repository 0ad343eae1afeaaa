"""An issuer of tokens for tests: keys of each kind, its key set, and tokens that can be wrong in any way."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from joserfc.jwk import JWKRegistry, Key, RSAKey

ISSUER = "https://issuer.example"
NOW = datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@cache
def key(kid: str, kind: str = "EC", parameter: str | int = "P-256") -> Key:
    if kind == "RSA":
        # By cryptography, since joserfc warns of small ones.
        private = rsa.generate_private_key(public_exponent=65537, key_size=int(parameter))
        return RSAKey(private, private, {"kid": kid})
    return JWKRegistry.generate_key(kind, parameter, {"kid": kid})


def jwks(*keys: Key) -> dict[str, Any]:
    return {"keys": [item.as_dict(private=False) for item in keys]}


def claims(**changes: Any) -> dict[str, Any]:
    """Valid claims; a change to `...` takes the claim away."""
    now = int(NOW.timestamp())
    base = {"iss": ISSUER, "aud": "readmit", "sub": "a-1", "exp": now + 600, "scope": "readmit.recover"}
    return {name: value for name, value in (base | changes).items() if value is not ...}


def sign(signer: Key, signed: bytes, hash_: HashAlgorithm | None = None) -> bytes:
    """A signature by the key's own algorithm, made without the library under test."""
    private: Any = signer.get_op_key("sign")
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(signed, padding.PKCS1v15(), SHA256())
    if isinstance(private, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(private.sign(signed, ec.ECDSA(hash_ or SHA256())))
        size = (private.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    assert isinstance(private, Ed25519PrivateKey)
    return private.sign(signed)


@dataclass
class Token:
    """A token to be. `raw_header` and `raw_payload` win over the members."""

    signer: Key
    payload: dict[str, Any] = field(default_factory=claims)
    header: dict[str, Any] = field(default_factory=dict)
    raw_header: bytes | None = None
    raw_payload: bytes | None = None

    def signed_part(self) -> str:
        algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[self.signer.key_type]
        header = {"alg": algorithm, "typ": "at+jwt", "kid": self.signer.kid} | self.header
        header = {name: value for name, value in header.items() if value is not ...}
        head = json.dumps(header).encode() if self.raw_header is None else self.raw_header
        body = json.dumps(self.payload).encode() if self.raw_payload is None else self.raw_payload
        return f"{b64(head)}.{b64(body)}"

    def __str__(self) -> str:
        signed = self.signed_part()
        return f"{signed}.{b64(sign(self.signer, signed.encode()))}"
