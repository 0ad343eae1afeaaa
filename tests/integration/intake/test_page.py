"""`GET /` and its form: what the JSON interface does, for people."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import pytest

from shared.schemas import reference
from tests.integration.intake.conftest import Intake, StartIntake

FORM = {"email": "amelia@example.org", "issue": "forgotten-password"}


class Page(HTMLParser):
    """What a person and a browser find on a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def shown_reference(html: str) -> str:
    match = re.search(r'class="code big"[^>]*>([^<]+)<', html)
    assert match is not None
    return match[1]


async def test_the_form_works_without_javascript(shared_intake: Intake) -> None:
    answer = await shared_intake.client().get("/")
    assert answer.status_code == 200
    page = Page(answer.text)
    assert page.all("script") == []
    (form,) = page.all("form")
    assert (form["method"], form["action"]) == ("post", "/")
    assert [field["name"] for field in page.all("input")] == ["email"] + ["issue"] * 4
    assert [field["value"] for field in page.all("input")][1:] == [
        "lost-2fa",
        "forgotten-password",
        "locked-out",
        "other",
    ]
    labelled = {label["for"] for label in page.all("label")}
    assert {field["id"] for field in page.all("input")} == labelled
    assert (await shared_intake.client().head("/")).status_code == 200


async def test_a_policy_forbids_everything_else(start_intake: StartIntake, shared_intake: Intake) -> None:
    policy = (await shared_intake.client().get("/")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    framed = await start_intake(READMIT_FRAME_ANCESTORS="https://id.example.org")
    assert (
        "frame-ancestors https://id.example.org" in (await framed.client().get("/")).headers["content-security-policy"]
    )


async def test_a_sent_form_shows_its_reference(intake: Intake) -> None:
    answer = await intake.client().post("/", data=FORM)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    name = shown_reference(answer.text)
    assert reference.parse(name) == name
    (event,) = await intake.events()
    assert event["data"]["reference_id"] == name
    assert (event["data"]["email"], event["data"]["issue"]) == (FORM["email"], FORM["issue"])
    assert "support@meridian.example.org" in answer.text
    assert FORM["email"] not in answer.text


@pytest.mark.parametrize(
    ("path", "header", "language", "direction", "words"),
    [
        ("/", "de-DE,de;q=0.9", "de", "ltr", "Hilfe bei der Anmeldung"),
        ("/", "ar", "ar", "rtl", "مساعدة في تسجيل الدخول"),
        ("/?lang=ar", "de", "ar", "rtl", "مساعدة في تسجيل الدخول"),
        ("/?lang=tlh", "de", "de", "ltr", "Hilfe bei der Anmeldung"),
        ("/?lang=en", "de", "en", "ltr", "Get help signing in"),
    ],
)
async def test_languages(
    shared_intake: Intake, path: str, header: str, language: str, direction: str, words: str
) -> None:
    answer = await shared_intake.client().get(path, headers={"Accept-Language": header})
    (html,) = Page(answer.text).all("html")
    assert (html["lang"], html["dir"]) == (language, direction)
    assert words in answer.text
    assert answer.headers["content-language"] == language


async def test_a_language_switched_to_stays_through_the_form(intake: Intake) -> None:
    page = Page((await intake.client().get("/?lang=de")).text)
    (form,) = page.all("form")
    assert form["action"] == "/?lang=de"
    wrong = await intake.client().post("/?lang=de", data={**FORM, "email": ""})
    assert "genau eine E-Mail-Adresse" in wrong.text
    answer = await intake.client().post("/?lang=de", data=FORM)
    assert "Ihre Vorgangsnummer" in answer.text
    assert (await intake.events())[0]["data"]["language"] == "de"


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ("", {"email", "issue"}),
        ("email=&issue=", {"email", "issue"}),
        ("email=amelia&issue=other", {"email"}),
        ("email=a@example.org", {"issue"}),
        ("email=a@example.org&issue=nothing", {"issue"}),
        ("email=a@example.org,b@example.org&issue=other", {"email"}),
        ("email=a@example.org%0d%0ab@example.org&issue=other", {"email"}),
        ("email=" + "a" * 250 + "@example.org&issue=other", {"email"}),
        ("email=a@example.org&email=b@example.org&issue=other", {"email", "_form"}),
        ("email=a@example.org&issue=other&issue=lost-2fa", {"issue", "_form"}),
        ("email=a@example.org&issue=other&details=please", {"_form"}),
        ("email=%ff&issue=other", {"_form"}),
        ("&".join(f"x{n}=1" for n in range(50)), {"_form"}),
    ],
)
async def test_what_is_wrong_is_said_beside_it(shared_intake: Intake, content: str, fields: set[str]) -> None:
    answer = await shared_intake.client().post(
        "/", content=content, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 422
    page = Page(answer.text)
    links = [link["href"] or "" for link in page.all("a")]
    wrong = {link.removeprefix("#") for link in links if link.startswith("#")} - {"main"}
    assert wrong == fields - {"_form"}
    assert ("sent as it should" in answer.text) == ("_form" in fields)
    assert "There is a problem" in answer.text
    assert "<title>Error: " in answer.text
    assert await shared_intake.rows("SELECT 1 FROM ledger") == []


async def test_what_was_typed_is_kept_and_harmless(shared_intake: Intake) -> None:
    typed = '"><script>alert(1)</script>\u202e'
    answer = await shared_intake.client().post("/", data={"email": typed, "issue": "locked-out"})
    assert answer.status_code == 422
    page = Page(answer.text)
    assert page.all("script") == []
    email, *issues = page.all("input")
    assert unescape(email["value"] or "").startswith('"><script>')
    assert [issue["value"] for issue in issues if "checked" in issue] == ["locked-out"]


async def test_other_bodies_are_refused(shared_intake: Intake) -> None:
    client = shared_intake.client()
    assert (await client.post("/", json=FORM)).status_code == 415
    assert (await client.post("/", files={"email": b"a@example.org"})).status_code == 415
    big = await client.post("/", data={"email": "a" * 20_000, "issue": "other"})
    assert big.status_code == 413


async def test_another_sites_form_is_refused(shared_intake: Intake) -> None:
    client = shared_intake.client()
    for headers in (
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.org"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://other.example.org"},
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
    ):
        answer = await client.post("/", data=FORM, headers=headers)
        assert answer.status_code == 403
        assert "another site" in answer.text
    assert await shared_intake.rows("SELECT 1 FROM ledger") == []


async def test_our_own_form_is_taken(intake: Intake) -> None:
    client = intake.client()
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "https://help.example.org"}, {}):
        assert (await client.post("/", data=FORM, headers=headers)).status_code == 200


async def test_limits_are_the_same_ones(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_NETWORK="2 per hour", READMIT_INTAKE_LIMIT_ADDRESS="1 per hour")
    client = intake.client()
    first = await client.post("/", data=FORM)
    second = await client.post("/v1/assistance-requests", json=FORM)
    assert (first.status_code, second.status_code) == (200, 202)
    third = await client.post("/", data=FORM, headers={"Accept-Language": "de"})
    assert third.status_code == 429
    assert int(third.headers["retry-after"]) > 0
    assert "60 Minuten" in third.text
    types = [
        event["type"]
        for event in await intake.events("readmit.assistance.requested.v1", "readmit.assistance.suppressed.v1")
    ]
    assert types == ["readmit.assistance.requested.v1", "readmit.assistance.suppressed.v1"]


async def test_the_interface_is_described(shared_intake: Intake) -> None:
    document = (await shared_intake.client().get("/openapi.json")).json()
    assert set(document["paths"]) == {"/v1/assistance-requests", "/v1/events"}
    for path in document["paths"].values():
        assert path["post"]["requestBody"]["content"]
        for status, answer in path["post"]["responses"].items():
            kind = "application/json" if status == "202" else "application/problem+json"
            assert "example" in answer["content"][kind], status
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
