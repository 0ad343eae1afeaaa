"""What `docs/identity-platform.md` tells to copy works."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.intake.routes.bodies import AssistanceRequestBody
from services.recovery.adapters.grants import GrantSigner
from shared.kit.settings import PemKeys
from shared.schemas.envelope import Event
from shared.schemas.registry import decode, decode_batch

PAGE = (Path(__file__).parents[2] / "docs" / "identity-platform.md").read_text(encoding="utf-8")
ISSUER, AUDIENCE = "https://recovery.example.org", "https://id.example.org"

Verify = Callable[[str, dict[str, Any]], dict[str, Any]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def a_pem() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def a_signer(*, issuer: str = ISSUER, audience: str = AUDIENCE, age: timedelta = timedelta(0)) -> GrantSigner:
    keys = PemKeys((a_pem(),))
    return GrantSigner(keys, issuer=issuer, audience=audience, clock=lambda: datetime.now(UTC) - age)


def a_grant(signer: GrantSigner) -> str:
    return signer(account_id="u-1001", actions=["reset-password", "remove-2fa"], reference_id="RA-7K2M-9QXT-5")


@pytest.fixture(scope="module")
def verify_grant() -> Verify:
    """The page's own code."""
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code, "docs/identity-platform.md", "exec"), names)
    verify: Verify = names["verify_grant"]
    return verify


def test_a_grant_of_recovery_is_verified(verify_grant: Verify) -> None:
    signer = a_signer()
    claims = verify_grant(a_grant(signer), signer.jwks())
    assert claims["sub"] == "u-1001"
    assert claims["actions"] == ["reset-password", "remove-2fa"]
    assert claims["reference_id"] == "RA-7K2M-9QXT-5"
    assert claims["jti"]


def test_after_a_rotation_grants_under_the_old_key_are_verified(verify_grant: Verify) -> None:
    old, new = a_pem(), a_pem()
    before = GrantSigner(PemKeys((old,)), issuer=ISSUER, audience=AUDIENCE)
    after = GrantSigner(PemKeys((new, old)), issuer=ISSUER, audience=AUDIENCE)
    assert verify_grant(a_grant(before), after.jwks())["sub"] == "u-1001"
    assert verify_grant(a_grant(after), after.jwks())["sub"] == "u-1001"


@pytest.mark.parametrize(
    "signer",
    [
        a_signer(issuer="https://elsewhere.example.org"),
        a_signer(audience="readmit"),
        a_signer(age=timedelta(minutes=11)),
        a_signer(age=timedelta(minutes=-11)),
    ],
    ids=["another issuer", "another audience", "expired", "longer than recovery gives"],
)
def test_other_grants_are_refused(verify_grant: Verify, signer: GrantSigner) -> None:
    with pytest.raises((JoseError, ValueError)):
        verify_grant(a_grant(signer), signer.jwks())


def test_another_key_is_refused(verify_grant: Verify) -> None:
    with pytest.raises((JoseError, ValueError)):
        verify_grant(a_grant(a_signer()), a_signer().jwks())


@pytest.mark.parametrize(
    ("typ", "actions"),
    [("at+jwt", ["reset-password"]), (None, ["reset-password"]), ("readmit-grant+jwt", ["become-admin"])],
)
def test_other_tokens_under_the_same_key_are_refused(verify_grant: Verify, typ: str | None, actions: list[str]) -> None:
    key = ECKey.generate_key("P-256", {"kid": "k1"})
    header = {"alg": "ES256", "kid": "k1"} | ({"typ": typ} if typ else {})
    expires = int(datetime.now(UTC).timestamp()) + 600
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u-1", "jti": "j", "exp": expires, "actions": actions}
    with pytest.raises((JoseError, ValueError)):
        verify_grant(jwt.encode(header, claims, key), {"keys": [key.as_dict(private=False)]})


def test_its_events_are_events() -> None:
    (batch,) = blocks("json")
    events = decode_batch(batch.encode())
    assert events
    assert all(isinstance(event, Event) for event in events)


def test_its_commands_are_whole_and_send_what_is_taken() -> None:
    commands = [shlex.split(block.replace("\\\n", " ")) for block in blocks("sh")]
    bodies = {
        command[1].rpartition("/")[2]: command[command.index("--data") + 1]
        for command in commands
        if "--data" in command and not command[command.index("--data") + 1].startswith("@")
    }
    assert isinstance(decode(bodies["events"].encode()), Event)
    assert AssistanceRequestBody.model_validate(json.loads(bodies["assistance-requests"]))


def test_the_types_that_it_names_exist() -> None:
    named = set(re.findall(r"`(readmit\.identity\.[a-z0-9.-]+\.v1)`", PAGE))
    named |= {f"readmit.identity.{name}" for name in re.findall(r"`…?([a-z-]+\.v1)`", PAGE)}
    schemas = Path(__file__).parents[2] / "shared" / "schemas" / "json"
    assert {name for name in named if not (schemas / f"{name}.json").exists()} == set()
