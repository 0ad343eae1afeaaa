"""The OpenID provider: the code flow as a console does it, and what must not work."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.integration.demo.stand import AUDIT, CLIENT_ID, CLIENT_SECRET, INTAKE, PLATFORM, RECOVERY, Platform

VERIFIER = "v" * 50
CALLBACK = f"{RECOVERY}/signin/callback"


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _request(**changes: str | None) -> dict[str, str]:
    query: dict[str, str | None] = {
        "response_type": "code", "client_id": CLIENT_ID, "redirect_uri": CALLBACK,
        "scope": "openid profile readmit.recover", "state": "the-state", "nonce": "the-nonce",
        "code_challenge": _challenge(VERIFIER), "code_challenge_method": "S256", **changes,
    }  # fmt: skip
    return {name: value for name, value in query.items() if value is not None}


def _answer(response: httpx.Response) -> dict[str, str]:
    """What the browser is sent back to a console with."""
    assert response.status_code == 303
    assert response.headers["location"].startswith(f"{RECOVERY}/signin/callback?")
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["location"]).query).items()}


async def _code(platform: Platform, role: str = "expert", **changes: str | None) -> str:
    """Go through authorize and the sign-in page; returns the code."""
    start = await platform.browser.get("/authorize", params=_request(**changes))
    assert start.headers["location"].startswith("/?request=")
    waiting = start.headers["location"].partition("=")[2]
    assert f'value="{waiting}"' in (await platform.browser.get(start.headers["location"])).text
    signed_in = await platform.sign_in(role, request=waiting)
    assert signed_in.headers["location"] == f"/authorize/resume?request={waiting}"
    answer = _answer(await platform.browser.get(signed_in.headers["location"]))
    assert answer["state"] == "the-state"
    assert answer["iss"] == PLATFORM
    return answer["code"]


async def _exchange(platform: Platform, code: str, changes: dict[str, str] | None = None) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    auth = (quote(CLIENT_ID, safe=""), quote(CLIENT_SECRET, safe=""))
    return await platform.new_browser().post("/token", data=form | (changes or {}), auth=auth)


async def _claims(platform: Platform, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    keys = KeySet.import_key_set((await platform.browser.get("/.well-known/jwks.json")).json())
    assert "d" not in keys.keys[0].as_dict()
    decoded = jwt.decode(token, keys, algorithms=["ES256"])
    return decoded.header, decoded.claims


async def test_code_flow(platform: Platform) -> None:
    response = await _exchange(platform, await _code(platform))
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    tokens = response.json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["scope"] == "openid profile readmit.recover"

    header, access = await _claims(platform, tokens["access_token"])
    assert header["typ"] == "at+jwt"
    assert (access["iss"], access["aud"], access["sub"]) == (PLATFORM, "readmit", "u-1002")
    assert access["scope"] == tokens["scope"]
    assert abs(access["exp"] - time.time() - 8 * 3600) < 60

    _, identity = await _claims(platform, tokens["id_token"])
    assert (identity["iss"], identity["aud"], identity["sub"]) == (PLATFORM, CLIENT_ID, "u-1002")
    assert identity["nonce"] == "the-nonce"
    assert identity["email"] == "bruno.kompass@example.org"

    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    assert (await platform.browser.get("/userinfo", headers=bearer)).json()["sub"] == "u-1002"
    wrong = {"authorization": f"Bearer {tokens['id_token']}"}
    assert (await platform.browser.get("/userinfo", headers=wrong)).status_code == 401


async def test_discovery_names_what_is_there(platform: Platform) -> None:
    found = (await platform.browser.get("/.well-known/openid-configuration")).json()
    assert found["issuer"] == PLATFORM
    assert found["code_challenge_methods_supported"] == ["S256"]
    for endpoint in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"):
        assert found[endpoint].startswith(f"{PLATFORM}/")


async def test_second_factor_on_the_way(platform: Platform) -> None:
    start = await platform.browser.get("/authorize", params=_request(scope="openid"))
    waiting = start.headers["location"].partition("=")[2]
    assert (await platform.sign_in("forgotten", request=waiting)).headers["location"] == (
        f"/second-factor?request={waiting}"
    )
    form = {"code": platform.backup_code("forgotten"), "request": waiting}
    location = (await platform.browser.post("/second-factor", data=form)).headers["location"]
    assert "code" in _answer(await platform.browser.get(location))


async def test_a_session_is_enough(platform: Platform) -> None:
    await platform.sign_in("expert")
    assert "code" in _answer(await platform.browser.get("/authorize", params=_request()))
    again = await platform.browser.get("/authorize", params=_request(prompt="login"))
    assert again.headers["location"].startswith("/?request=")


async def test_a_session_of_somebody_who_may_not_asks_for_another(platform: Platform) -> None:
    await platform.sign_in("auditor")
    start = await platform.browser.get("/authorize", params=_request())
    assert start.headers["location"].endswith("notice=another-account")
    assert "may not use that page" in (await platform.browser.get(start.headers["location"])).text


async def test_prompt_none_without_a_session(platform: Platform) -> None:
    answer = _answer(await platform.browser.get("/authorize", params=_request(prompt="none")))
    assert (answer["error"], answer["state"]) == ("login_required", "the-state")


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://evil.example/signin/callback",
        f"{RECOVERY}/signin/callback/",
        f"{RECOVERY}/signin/callback?x=1",
        f"{RECOVERY}/signin/callback#x",
        f"{RECOVERY}/other",
        f"{RECOVERY}@evil.example/signin/callback",
        f"{RECOVERY}.evil.example/signin/callback",
        "http://localhost:28104/signin/callback",
        "javascript:alert(1)",
        "",
    ],
)
async def test_unknown_addresses_are_never_sent_to(platform: Platform, redirect_uri: str) -> None:
    await platform.sign_in("expert")
    answer = await platform.browser.get("/authorize", params=_request(redirect_uri=redirect_uri))
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize("origin", [INTAKE, RECOVERY, AUDIT])
async def test_the_three_registered_addresses(platform: Platform, origin: str) -> None:
    await platform.sign_in("expert")
    answer = await platform.browser.get("/authorize", params=_request(redirect_uri=f"{origin}/signin/callback"))
    assert answer.headers["location"].startswith(f"{origin}/signin/callback?code=")


async def test_unknown_client(platform: Platform) -> None:
    assert (await platform.browser.get("/authorize", params=_request(client_id="other"))).status_code == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"state": None}, "invalid_request"),
        ({"nonce": "x" * 2000}, "invalid_request"),
        ({"scope": "readmit.recover"}, "invalid_scope"),
    ],
)
async def test_requests_out_of_order(platform: Platform, changes: dict[str, str | None], error: str) -> None:
    await platform.sign_in("expert")
    answer = _answer(await platform.browser.get("/authorize", params=_request(**changes)))
    assert answer["error"] == error
    assert "code" not in answer


async def test_repeated_parameters(platform: Platform) -> None:
    query = f"{urlencode(_request())}&scope=openid"
    answer = _answer(await platform.browser.get(f"/authorize?{query}"))
    assert answer["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 50}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"redirect_uri": f"{AUDIT}/signin/callback"}, "invalid_grant"),
        ({"code": "made-up"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
async def test_exchanges_out_of_order(platform: Platform, changes: dict[str, str], error: str) -> None:
    response = await _exchange(platform, await _code(platform), changes)
    assert (response.status_code, response.json()) == (400, {"error": error})


async def test_a_code_works_once(platform: Platform) -> None:
    code = await _code(platform)
    assert (await _exchange(platform, code)).status_code == 200
    assert (await _exchange(platform, code)).json() == {"error": "invalid_grant"}


async def test_a_waiting_request_is_no_code(platform: Platform) -> None:
    start = await platform.browser.get("/authorize", params=_request())
    waiting = start.headers["location"].partition("=")[2]
    assert (await _exchange(platform, waiting)).json() == {"error": "invalid_grant"}


async def test_client_authentication(platform: Platform) -> None:
    form = {"grant_type": "authorization_code", "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    browser = platform.new_browser()
    posted = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    assert (await browser.post("/token", data=form | posted | {"code": await _code(platform)})).status_code == 200
    refused = await browser.post("/token", data=form | posted | {"client_secret": "wrong"})
    assert (refused.status_code, refused.json()) == (401, {"error": "invalid_client"})
    assert "basic" in refused.headers["www-authenticate"].lower()
    assert (await browser.post("/token", data=form, auth=(CLIENT_ID, "wrong"))).status_code == 401
    assert (await browser.post("/token", data=form, headers={"authorization": "Basic !!"})).status_code == 401
    both = await browser.post("/token", data=form | posted, auth=(CLIENT_ID, CLIENT_SECRET))
    assert both.json() == {"error": "invalid_request"}


@pytest.mark.parametrize(
    ("role", "scope"),
    [
        ("admin", "openid readmit.recover"),
        ("auditor", "openid readmit.audit readmit.audit.export readmit.audit.erase"),
        ("no_permission", "openid"),
    ],
)
async def test_scopes_are_those_asked_for_that_the_account_may_have(platform: Platform, role: str, scope: str) -> None:
    asked = "openid readmit.recover readmit.audit readmit.audit.export readmit.audit.erase readmit.events readmit.ops"
    response = await _exchange(platform, await _code(platform, role, scope=asked))
    assert response.json()["scope"] == scope
    _, claims = await _claims(platform, response.json()["access_token"])
    assert claims["scope"] == scope


async def test_a_code_of_an_account_locked_since_is_worth_nothing(platform: Platform) -> None:
    code = await _code(platform)
    other = platform.new_browser()
    for _ in range(5):
        await other.post("/", data={"email": platform.people["expert"]["email"], "password": "wrong-password"})
    assert (await _exchange(platform, code)).json() == {"error": "invalid_grant"}
    assert (await platform.browser.get("/home")).status_code == 303, "and the session has ended"
