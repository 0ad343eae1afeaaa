"""The sign-in flow, against a provider that checks what it is sent."""

from __future__ import annotations

import base64
from datetime import timedelta
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import pytest

from shared.kit.http.auth import InvalidToken, KeysUnavailable
from shared.web.oidc import OidcSettings, Provider, ProviderUnavailableError
from tests.unit.web.conftest import (
    CLIENT_ID,
    CLIENT_SECRET,
    CONSOLE,
    ISSUER,
    Clock,
    Console,
    StubProvider,
    a_console,
    browser_of,
    sign_in,
)


async def test_signing_in_leads_to_the_page_that_was_asked_for(browser: httpx.AsyncClient, console: Console) -> None:
    asked = await browser.get("/console/users?query=amelia")
    assert asked.status_code == 303
    assert asked.headers["location"] == "/signin?next=%2Fconsole%2Fusers%3Fquery%3Damelia"

    back = await sign_in(browser, console.provider, "/console/users?query=amelia")

    assert (back.status_code, back.headers["location"]) == (303, "/console/users?query=amelia")
    page = await browser.get(back.headers["location"])
    assert page.status_code == 200
    assert "Hello Bruno Example" in page.text


async def test_the_provider_is_asked_with_pkce_state_nonce_and_scopes(
    browser: httpx.AsyncClient, console: Console
) -> None:
    begun = await browser.get("/signin")
    query = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
    assert query["code_challenge_method"] == "S256"
    assert len(query["code_challenge"]) == 43
    assert query["scope"] == "openid profile readmit.recover"
    assert query["redirect_uri"] == f"{CONSOLE}/signin/callback"
    assert len(query["state"]) == len(query["nonce"]) == 43

    await browser.get(console.provider.authorize(begun.headers["location"]))

    exchange = console.provider.requests[-1]
    credentials = f"{quote(CLIENT_ID, safe='')}:{quote(CLIENT_SECRET, safe='')}"
    assert exchange.headers["authorization"] == "Basic " + base64.b64encode(credentials.encode()).decode()
    assert b"code_verifier=" in exchange.content


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_each_signature_algorithm_of_the_contract_is_taken(algorithm: str, clock: Clock) -> None:
    console = a_console(StubProvider(clock, algorithm), clock)
    async with browser_of(console) as browser:
        assert (await sign_in(browser, console.provider)).status_code == 303


async def test_a_provider_may_want_the_secret_in_the_form(clock: Clock) -> None:
    console = a_console(StubProvider(clock, auth_methods=["client_secret_post"]), clock)
    async with browser_of(console) as browser:
        assert (await sign_in(browser, console.provider)).status_code == 303
    assert b"client_secret=" in console.provider.requests[-1].content


async def test_another_state_is_refused_and_no_code_is_redeemed(browser: httpx.AsyncClient, console: Console) -> None:
    begun = await browser.get("/signin")
    callback = console.provider.authorize(begun.headers["location"])
    asked = len(console.provider.requests)

    answer = await browser.get(callback.split("&state=")[0] + "&state=other")

    assert answer.status_code == 400
    assert len(console.provider.requests) == asked
    assert (await browser.get("/console/users")).status_code == 303


async def test_a_callback_in_a_browser_that_did_not_begin_is_refused(
    browser: httpx.AsyncClient, console: Console
) -> None:
    """Login CSRF: an attacker's code, brought to somebody else's browser, must not sign them in as the attacker."""
    begun = await browser.get("/signin")
    callback = console.provider.authorize(begun.headers["location"])
    async with browser_of(console) as victim:
        assert (await victim.get(callback)).status_code == 400


async def test_a_flow_ends_after_ten_minutes(browser: httpx.AsyncClient, console: Console) -> None:
    begun = await browser.get("/signin")
    console.clock.forward(timedelta(minutes=10))
    assert (await browser.get(console.provider.authorize(begun.headers["location"]))).status_code == 400


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "other"},
        {"nonce": None},
        {"iss": "https://other.example.org"},
        {"aud": "other"},
        {"aud": [CLIENT_ID, "other"], "azp": "other"},
        {"exp": 1},
        {"exp": None},
    ],
    ids=str,
)
async def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    browser: httpx.AsyncClient, console: Console, claims: dict[str, object]
) -> None:
    console.provider.claims = claims
    answer = await sign_in(browser, console.provider)
    assert answer.status_code == 403
    assert console.sessions.cookie_name not in browser.cookies


async def test_an_id_token_signed_by_a_key_that_is_not_published_is_refused(
    browser: httpx.AsyncClient, console: Console
) -> None:
    console.provider.published = False
    assert (await sign_in(browser, console.provider)).status_code == 403


async def test_a_key_rotated_after_discovery_is_found(browser: httpx.AsyncClient, console: Console) -> None:
    console.provider.published = False
    begun = await browser.get("/signin")
    console.provider.published = True
    assert (await browser.get(console.provider.authorize(begun.headers["location"]))).status_code == 303


async def test_an_answer_of_another_issuer_is_refused(browser: httpx.AsyncClient, console: Console) -> None:
    """RFC 9207, the mix-up attack."""
    begun = await browser.get("/signin")
    callback = console.provider.authorize(begun.headers["location"])
    assert (await browser.get(callback + "&iss=https%3A%2F%2Fother.example.org")).status_code == 403


@pytest.mark.parametrize(
    ("error", "status"), [(InvalidToken("wrong audience"), 403), (KeysUnavailable("no answer"), 503)]
)
async def test_an_access_token_that_the_verifier_refuses_signs_nobody_in(
    browser: httpx.AsyncClient, console: Console, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    async def refuse(_: str) -> None:
        raise error

    monkeypatch.setattr(console.signin, "_verify", refuse)
    answer = await sign_in(browser, console.provider)
    assert answer.status_code == status
    assert console.sessions.cookie_name not in browser.cookies


async def test_a_person_who_says_no_at_the_provider_is_told_so(browser: httpx.AsyncClient, console: Console) -> None:
    begun = await browser.get("/signin")
    state = dict(parse_qsl(urlsplit(begun.headers["location"]).query))["state"]
    answer = await browser.get(f"/signin/callback?error=access_denied&state={state}")
    assert answer.status_code == 403
    assert "You are not signed in" in answer.text


async def test_while_the_issuer_is_away_only_signing_in_is_off(browser: httpx.AsyncClient, console: Console) -> None:
    await sign_in(browser, console.provider)
    console.provider.away = True
    console.clock.forward(timedelta(hours=1))
    assert (await browser.get("/console/users")).status_code == 200

    async with browser_of(console) as another:
        answer = await another.get("/signin")
    assert answer.status_code == 503
    assert "Sign-in is not available right now" in answer.text
    assert answer.headers["retry-after"] == "60"

    console.provider.away = False
    async with browser_of(console) as another:
        assert (await another.get("/signin")).status_code == 303


async def test_the_issuer_is_not_contacted_before_somebody_signs_in(
    browser: httpx.AsyncClient, console: Console
) -> None:
    await browser.get("/console/users")
    await browser.get("/signin/callback?code=x&state=y")
    assert console.provider.requests == []


async def test_without_client_settings_the_page_says_so(clock: Clock, provider: StubProvider) -> None:
    async with browser_of(a_console(provider, clock, configured=False)) as browser:
        answer = await browser.get("/signin")
    assert answer.status_code == 503
    assert "READMIT_OIDC_CLIENT_ID" in answer.text


@pytest.mark.parametrize("member", ["issuer", "token_endpoint"])
async def test_metadata_of_another_issuer_or_without_tls_is_not_believed(
    member: str, provider: StubProvider, clock: Clock
) -> None:
    metadata = provider.metadata() | {member: "http://evil.example.org"}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=metadata)

    settings = OidcSettings(ISSUER, CLIENT_ID, None, f"{CONSOLE}/signin/callback")
    client = Provider(settings, connect=lambda: httpx.AsyncClient(transport=httpx.MockTransport(answer)), clock=clock)
    with pytest.raises(ProviderUnavailableError):
        await client.authorization_url(state="s", nonce="n", verifier="v")


async def test_the_session_is_new_at_each_sign_in(browser: httpx.AsyncClient, console: Console) -> None:
    """Session fixation: what was in the browser before is not carried over."""
    await sign_in(browser, console.provider)
    first = browser.cookies[console.sessions.cookie_name]
    await sign_in(browser, console.provider)
    assert browser.cookies[console.sessions.cookie_name] != first


async def test_the_cookies_are_out_of_reach_of_scripts_and_other_sites(
    browser: httpx.AsyncClient, console: Console
) -> None:
    answer = await sign_in(browser, console.provider)
    session = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("readmit_recovery_session="))
    assert "HttpOnly" in session
    assert "Secure" in session
    assert "SameSite=lax" in session
    assert "Max-Age=28800" in session
    assert "Path=/;" in session


async def test_without_the_scope_a_signed_in_person_is_refused(browser: httpx.AsyncClient, console: Console) -> None:
    await sign_in(browser, console.provider)
    answer = await browser.get("/audit")
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")


async def test_a_form_without_session_is_401_and_not_a_redirect(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/console/users", headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 401


async def test_a_form_needs_its_own_sessions_token(browser: httpx.AsyncClient, console: Console) -> None:
    await sign_in(browser, console.provider)
    page = await browser.get("/console/users")
    token = page.text.split("token=")[1].split("<")[0]
    async with browser_of(console) as other:
        await sign_in(other, console.provider)
        stranger = (await other.get("/console/users")).text.split("token=")[1].split("<")[0]
    own_page = {"sec-fetch-site": "same-origin"}

    for wrong in ({}, {"csrf_token": ""}, {"csrf_token": stranger}, {"csrf_token": token[:-1]}):
        answer = await browser.post("/console/users", data=wrong, headers=own_page)
        assert answer.status_code == 403, wrong
    cross_site = {"sec-fetch-site": "cross-site"}
    answer = await browser.post("/console/users", data={"csrf_token": token}, headers=cross_site)
    assert answer.status_code == 403

    answer = await browser.post("/console/users", data={"csrf_token": token}, headers=own_page)
    assert (answer.status_code, answer.text) == (200, "done by acc-1")


async def test_signing_out_needs_the_own_page_and_ends_the_session(
    browser: httpx.AsyncClient, console: Console
) -> None:
    await sign_in(browser, console.provider)
    page = await browser.get("/console/users")
    token = page.text.split("token=")[1].split("<")[0]
    assert (await browser.post("/signout", headers={"sec-fetch-site": "cross-site"})).status_code == 403
    assert (await browser.post("/signout", headers={"sec-fetch-site": "same-origin"})).status_code == 403
    assert (await browser.get("/console/users")).status_code == 200

    out = await browser.post("/signout", data={"csrf_token": token}, headers={"sec-fetch-site": "same-origin"})

    assert out.status_code == 200
    assert "You are signed out" in out.text
    assert (await browser.get("/console/users")).status_code == 303
    assert (await browser.get("/signout")).status_code == 405
