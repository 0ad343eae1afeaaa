"""Bearer tokens that must not be believed. Good twins of the bad ones show that the refusals mean something."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe
from joserfc.jwk import Key, RSAKey

from shared.kit.http.auth import InvalidToken, TokenVerifier
from shared.kit.http.keys import KeysUnavailable, SigningKeys
from tests.unit.kit.issuer import ISSUER, NOW, Token, b64, claims, jwks, key, sign

EC, RSA, ED = key("ec"), key("rsa", "RSA", 2048), key("ed", "OKP", "Ed25519")
P384 = key("p384", "EC", "P-384")


def verifier(folder: Path, *keys: Key, account_claim: str = "sub", document: Any = None) -> TokenVerifier:
    file = folder / "jwks.json"
    file.write_text(json.dumps(document if document is not None else jwks(*(keys or (EC, RSA, ED)))))
    return TokenVerifier(SigningKeys(str(file)), issuer=ISSUER, account_claim=account_claim, clock=lambda: NOW)


@pytest.fixture
def verify(tmp_path: Path) -> TokenVerifier:
    return verifier(tmp_path)


@pytest.mark.parametrize("signer", [EC, RSA, ED], ids=["ES256", "RS256", "EdDSA"])
@pytest.mark.parametrize("typ", ["at+jwt", "JWT", "application/at+jwt", ...], ids=str)
async def test_a_good_token_is_believed(verify: TokenVerifier, signer: Key, typ: object) -> None:
    principal = await verify(str(Token(signer, header={"typ": typ})))
    assert (principal.subject, principal.actor, principal.scopes) == ("a-1", "a-1", frozenset({"readmit.recover"}))


async def test_the_name_of_rfc_9864_and_a_token_without_key_id_are_believed(verify: TokenVerifier) -> None:
    assert (await verify(str(Token(ED, header={"alg": "Ed25519"})))).subject == "a-1"
    assert (await verify(str(Token(RSA, header={"kid": ...})))).subject == "a-1"
    unknown = {"x5t": "abc", "org": {"a": 1}}
    assert (await verify(str(Token(RSA, header=unknown)))).subject == "a-1", "unknown header parameters are ignored"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, 0, ["ES256"], {"a": 1}], ids=repr)
@pytest.mark.parametrize("signature", ["", "AA", "signed"])
async def test_no_algorithm_is_not_an_algorithm(verify: TokenVerifier, alg: object, signature: str) -> None:
    token = Token(EC, header={"alg": alg})
    text = str(token) if signature == "signed" else f"{token.signed_part()}.{signature}"
    await refused(verify, text)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("signer", [EC, RSA, ED], ids=["EC", "RSA", "OKP"])
async def test_algorithm_confusion(verify: TokenVerifier, algorithm: str, signer: Key) -> None:
    """A public key, in any of its spellings, must not become an HMAC secret."""
    public: Any = signer.get_op_key("verify")
    published = signer.as_dict(private=False)
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(published).encode(),
        json.dumps(published, separators=(",", ":")).encode(),
        b"",
    ]
    for secret in secrets:
        for kid in (signer.kid, ...):
            signed = Token(signer, header={"alg": algorithm, "kid": kid}).signed_part()
            digest = hmac.new(secret, signed.encode(), getattr(hashlib, f"sha{algorithm[2:]}")).digest()
            await refused(verify, f"{signed}.{b64(digest)}")


async def test_a_secret_in_the_key_set_verifies_nothing(tmp_path: Path) -> None:
    secret = b"a secret that somebody published by mistake"
    document = {"keys": [{"kty": "oct", "kid": "oct", "k": b64(secret)}, *jwks(EC)["keys"]]}
    verify = verifier(tmp_path, document=document)
    signed = Token(EC, header={"alg": "HS256", "kid": "oct"}).signed_part()
    await refused(verify, f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}")
    assert (await verify(str(Token(EC)))).subject == "a-1"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["cnf"], "cnf": {"jkt": "x"}},
        {"crit": []},
        {"crit": None},
        {"crit": "b64"},
        {"crit": ["alg"]},
        {"crit": ["b64"], "b64": False},
        {"crit": ["b64"], "b64": True},
        {"b64": False},
        {"b64": True},
    ],
    ids=json.dumps,
)
async def test_critical_parameters_are_not_passed_over(verify: TokenVerifier, header: dict[str, Any]) -> None:
    """CVE-2025-59420 and CVE-2026-32597: a verifier that ignores `crit` believes what the issuer meant otherwise."""
    await refused(verify, str(Token(EC, header=header)))


NOW_S = int(NOW.timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"}, {"aud": ...}, {"aud": []}, {"aud": ["other"]}, {"aud": {"readmit": 1}}, {"aud": "readmit "},
        {"aud": None}, {"aud": "Readmit"}, {"aud": [["readmit"]]},
        {"iss": "https://issuer.example/"}, {"iss": "https://evil.example"}, {"iss": ...}, {"iss": None},
        {"iss": [ISSUER]}, {"iss": ISSUER.upper()},
        {"exp": NOW_S - 1}, {"exp": NOW_S}, {"exp": ...}, {"exp": None}, {"exp": str(NOW_S + 600)}, {"exp": True},
        {"exp": []}, {"exp": -1}, {"exp": 0},
        {"nbf": NOW_S + 61}, {"nbf": "0"}, {"nbf": None}, {"nbf": True}, {"iat": NOW_S + 3600}, {"iat": []},
        {"sub": ...}, {"sub": ""}, {"sub": None}, {"sub": 1}, {"sub": ["a-1"]}, {"sub": "a" * 161},
        {"sub": "a\n1"}, {"sub": "a\x001"}, {"scope": ["readmit.recover"]}, {"scope": None}, {"scope": 1},
    ],
    ids=repr,
)  # fmt: skip
async def test_claims_that_are_wrong(verify: TokenVerifier, changes: dict[str, Any]) -> None:
    await refused(verify, str(Token(EC, payload=claims(**changes))))


@pytest.mark.parametrize(
    "changes",
    [{"aud": ["other", "readmit"]}, {"exp": NOW_S + 1}, {"exp": NOW_S + 0.5}, {"exp": 10**18}, {"nbf": NOW_S + 59}],
    ids=repr,
)
async def test_claims_at_the_edge_that_are_right(verify: TokenVerifier, changes: dict[str, Any]) -> None:
    assert (await verify(str(Token(EC, payload=claims(**changes))))).subject == "a-1"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 5000])
@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
async def test_numbers_that_are_no_time(verify: TokenVerifier, claim: str, number: str) -> None:
    """NaN is neither before nor after any time: `exp <= now` lets it through, and the answer was a 500."""
    payload = json.dumps(claims(**{claim: "@"})).replace('"@"', number).encode()
    await refused(verify, str(Token(EC, raw_payload=payload)))


@pytest.mark.parametrize(
    "typ", ["readmit-grant+jwt", "id+jwt", "JWE", "dpop+jwt", "secevent+jwt", "", None, ["JWT"], 1], ids=repr
)
async def test_tokens_made_for_something_else(verify: TokenVerifier, typ: object) -> None:
    """RFC 8725, section 3.11: the type keeps one kind of token from being used as another."""
    await refused(verify, str(Token(EC, header={"typ": typ})))


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null", "/dev/null", "file:///dev/null", "' OR '1'='1", "ec' UNION SELECT 'x' --", "ec\x00",
        "EC", "", " ec", "http://127.0.0.1:1/", 1, True, ["ec"], {"kid": "ec"}, None, 1.5,
    ],
    ids=repr,
)  # fmt: skip
async def test_key_ids_are_compared_and_nothing_else(verify: TokenVerifier, kid: object) -> None:
    token = Token(EC, header={"kid": kid})
    await refused(verify, str(token))
    signed = token.signed_part()  # what a file that is empty, or a query that finds nothing, would have verified
    await refused(verify, f"{signed}.{b64(hmac.new(b'', signed.encode(), hashlib.sha256).digest())}")


async def test_keys_that_the_token_brings_along_are_ignored(verify: TokenVerifier, unused_tcp_port: int) -> None:
    """`jwk`, `jku`, `x5u` and `x5c` are the attacker's word for which key verifies the attacker's token."""
    mine = key("mine")
    url = f"http://127.0.0.1:{unused_tcp_port}/keys"
    for header in (
        {"jwk": mine.as_dict(private=False)}, {"jku": url}, {"x5u": url}, {"x5c": ["AAAA"]},
    ):  # fmt: skip
        for kid in ("ec", "mine", ...):
            await refused(verify, str(Token(mine, header={**header, "kid": kid})))
        assert (await verify(str(Token(EC, header=header)))).subject == "a-1"


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        (b'{"alg":"ES256","alg":"ES256","typ":"JWT","kid":"ec"}', None),
        (b'{"alg":"none","typ":"JWT","kid":"ec","alg":"ES256"}', None),
        (b'{"alg":"ES256","typ":"JWT","typ":"at+jwt","kid":"ec"}', None),
        (None, json.dumps(claims()).encode()[:-1] + b', "sub": "a-2"}'),
        (None, json.dumps(claims()).encode()[:-1] + b', "scope": "readmit.audit"}'),
        (None, json.dumps(claims(act={})).replace("{}", '{"sub": 1, "sub": 2}').encode()),
    ],
)
async def test_doubled_members(verify: TokenVerifier, header: bytes | None, payload: bytes | None) -> None:
    """RFC 7515, section 4: two readers that take different ones see two tokens."""
    await refused(verify, str(Token(EC, raw_header=header, raw_payload=payload)))


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b'"a"', b"1", b"{", b"\xff\xfe", b"[" * 9000, b'{"a":' * 2000, b'{"sub": "\\ud800"}']
)
async def test_parts_that_are_no_object(verify: TokenVerifier, raw: bytes) -> None:
    await refused(verify, str(Token(EC, raw_payload=raw)))
    await refused(verify, str(Token(EC, raw_header=raw)))


async def test_half_a_surrogate_pair_in_a_claim(verify: TokenVerifier) -> None:
    await refused(verify, str(Token(EC, raw_payload=json.dumps(claims(sub="\ud800")).encode())))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token + "=",
        lambda token: token[:-1],
        lambda token: token + ".",
        lambda token: "." + token,
        lambda token: token.replace(".", "..", 1),
        lambda token: token.replace(".", ".\n", 1),
        lambda token: token + "\u00e9",
        lambda token: token.rsplit(".", 1)[0],
        lambda token: token.rsplit(".", 1)[0] + ".",
        lambda token: token.rsplit(".", 1)[0] + "." + "A" * 86,
        lambda token: json.dumps({"payload": token.split(".")[1], "protected": token.split(".")[0], "signature": "x"}),
    ],
    ids=range(11),
)
async def test_text_that_is_no_compact_jws(verify: TokenVerifier, spoil: Any) -> None:
    await refused(verify, spoil(str(Token(EC))))


async def test_signatures_of_zeros(verify: TokenVerifier) -> None:
    """CVE-2022-21449: r = s = 0 verified anything."""
    await refused(verify, f"{Token(EC).signed_part()}.{b64(bytes(64))}")


async def test_huge_tokens_are_refused_unread(verify: TokenVerifier) -> None:
    await refused(verify, str(Token(EC, payload=claims(padding="x" * 20_000))))
    await refused(verify, "a." * 1_000_000 + "a")
    assert (await verify(str(Token(EC, payload=claims(padding="x" * 8000))))).subject == "a-1"


async def test_an_encrypted_token_is_no_signed_one(verify: TokenVerifier) -> None:
    public = RSAKey.import_key(RSA.as_dict(private=False))
    encrypted = jwe.encrypt_compact(
        {"alg": "RSA-OAEP", "enc": "A256GCM"}, json.dumps(claims()).encode(), public, ["RSA-OAEP", "A256GCM"]
    )
    await refused(verify, encrypted)
    head, _, _, _, tag = encrypted.split(".")
    await refused(verify, f"{head}.{b64(json.dumps(claims()).encode())}.{tag}")


async def test_a_key_of_another_curve_or_kind(tmp_path: Path) -> None:
    x25519 = key("x", "OKP", "X25519")
    verify = verifier(tmp_path, EC, RSA, ED, P384, x25519)
    signed = Token(P384, header={"alg": "ES256"}).signed_part()
    await refused(verify, f"{signed}.{b64(sign(P384, signed.encode()))}")
    await refused(verify, f"{signed}.{b64(sign(P384, signed.encode(), SHA384()))}")
    for algorithm in ("ES384", "ES512", "ES256K", "PS256", "RS512", "Ed448"):
        for kid in ("p384", "rsa", "ec", "ed"):
            await refused(verify, str(Token(EC, header={"alg": algorithm, "kid": kid})))
    for algorithm, kid in [("RS256", "ec"), ("ES256", "rsa"), ("EdDSA", "ec"), ("EdDSA", "x"), ("ES256", "ed")]:
        await refused(verify, str(Token(EC, header={"alg": algorithm, "kid": kid})))


@pytest.mark.parametrize("bits", [1024, 2040])
async def test_a_small_rsa_key_verifies_nothing(tmp_path: Path, bits: int) -> None:
    """RFC 7518, section 3.3: 2048 bits at least. The issuer's other keys stay good."""
    small = key(f"small-{bits}", "RSA", bits)
    verify = verifier(tmp_path, small, EC)
    await refused(verify, str(Token(small)))
    assert (await verify(str(Token(EC)))).subject == "a-1"
    alone = tmp_path / "alone"
    alone.mkdir()
    with pytest.raises(KeysUnavailable):
        await verifier(alone, small)(str(Token(small)))


async def test_a_key_for_encryption_verifies_nothing(tmp_path: Path) -> None:
    document = {"keys": [{**EC.as_dict(private=False), "use": "enc"}, *jwks(RSA)["keys"]]}
    await refused(verifier(tmp_path, document=document), str(Token(EC)))


async def test_a_change_of_any_part_is_noticed(verify: TokenVerifier) -> None:
    one, other = str(Token(EC)).split("."), str(Token(EC, payload=claims(sub="a-2"))).split(".")
    await refused(verify, ".".join([one[0], other[1], one[2]]))
    await refused(verify, ".".join([b64(b'{"alg":"ES256","kid":"ec"}'), one[1], one[2]]))


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("", set()),
        (" ", set()),
        ("readmit.recover  readmit.audit ", {"readmit.recover", "readmit.audit"}),
        ("x\u00a0readmit.audit", {"x\u00a0readmit.audit"}),
        ("x\treadmit.audit", {"x\treadmit.audit"}),
        ("x\nreadmit.audit", {"x\nreadmit.audit"}),
        ("readmit.audit.export", {"readmit.audit.export"}),
        ("READMIT.AUDIT", {"READMIT.AUDIT"}),
    ],
)
async def test_scopes_are_separated_by_spaces_only(verify: TokenVerifier, scope: str, granted: set[str]) -> None:
    assert (await verify(str(Token(EC, payload=claims(scope=scope))))).scopes == granted


async def test_a_token_without_scope_grants_nothing(verify: TokenVerifier) -> None:
    assert (await verify(str(Token(EC, payload=claims(scope=...))))).scopes == frozenset()


@pytest.mark.parametrize(
    ("value", "account"),
    [("acct-7", "acct-7"), (..., None), ("", None), (7, None), (["acct-7"], None), ("a" * 129, None), ("a\r\n", None)],
    ids=repr,
)
async def test_another_claim_may_name_the_account(tmp_path: Path, value: object, account: str | None) -> None:
    verify = verifier(tmp_path, EC, account_claim="account")
    principal = await verify(str(Token(EC, payload=claims(account=value))))
    assert (principal.account, principal.actor) == (account, account or "a-1")


async def refused(verify: TokenVerifier, token: str) -> None:
    """Refused as a token: any other exception would be a 500, and a log line that may quote it."""
    with pytest.raises(InvalidToken) as caught:
        await verify(token)
    assert len(str(caught.value)) < 60, "the reason quotes nothing"
