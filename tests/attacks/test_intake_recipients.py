"""CVE-2023-7028: an address that a mail program reads as two, or that isn't the one it looks like, is no address."""

# ruff: noqa: F401, F811 (fixtures are imported to be found by name)
from __future__ import annotations

from typing import Any

import pytest

from services.intake.routes.bodies import AssistanceRequestBody
from tests.integration.intake.conftest import Intake, intake, issuer, shared_intake, start_intake, topics

PATH = "/v1/assistance-requests"

INJECTIONS: list[Any] = [
    ["victim@example.org", "attacker@evil.example"],
    ["victim@example.org"],
    {"email": "victim@example.org"},
    "victim@example.org,attacker@evil.example",
    "victim@example.org;attacker@evil.example",
    "victim@example.org attacker@evil.example",
    "victim@example.org\nattacker@evil.example",
    "victim@example.org\r\nBcc: attacker@evil.example",
    "victim@example.org\r\n\r\nbody",
    "victim@example.org\x00attacker@evil.example",
    "victim@example.org\x1cattacker@evil.example",
    "victim@example.org\x85attacker@evil.example",
    "victim@example.org\u2028attacker@evil.example",
    "victim@example.org\u2029",
    "victim\u200b@example.org",
    "victim\u202e@example.org",
    "victim@example.org\u00ad",
    "\ufeffvictim@example.org",
    "Victim <victim@example.org>",
    "<victim@example.org>",
    "victim@example.org (attacker@evil.example)",
    "victim(comment)@example.org",
    '"victim@example.org,attacker"@evil.example',
    '"victim"@example.org',
    "victim@example.org@evil.example",
    "@evil.example:victim@example.org",
    "victim%example.org@[127.0.0.1]",
    "victim@[IPv6:::1]",
    "victim@example.org/../evil",
    "victim@example.org?bcc=attacker@evil.example",
    "mailto:victim@example.org",
    "victim@",
    "@example.org",
    "victim",
    ".victim@example.org",
    "victim.@example.org",
    "vic..tim@example.org",
    "victim@example..org",
    "victim@-example.org",
    "victim@exam_ple.org",
    "v" * 65 + "@example.org",
    "=?utf-8?q?victim=40example.org?=",
]

REAL = [
    "victim@example.org",
    "Victim.O'Hara+tag@example.org",
    "üser@exämple.org",
    "用户@例子.example",
    "x@localhost",
    "v" * 64 + "@example.org",
    "  victim@example.org  ",
]


@pytest.mark.parametrize("email", INJECTIONS, ids=lambda email: ascii(email)[:60])
async def test_two_recipients_are_none(shared_intake: Intake, email: Any) -> None:
    answer = await shared_intake.client().post(PATH, json={"email": email, "issue": "other"})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "evil" not in answer.text
    assert await shared_intake.rows("SELECT 1 FROM ledger") == []


@pytest.mark.parametrize("email", REAL)
async def test_one_real_address_is_one(intake: Intake, email: str) -> None:
    answer = await intake.client().post(PATH, json={"email": email, "issue": "other"})
    assert answer.status_code == 202, answer.text
    (event,) = await intake.events()
    assert event["data"]["email"] == email.strip()


@pytest.mark.parametrize(
    "pair", [("admin@example.org", "adm\u0131n@example.org"), ("strasse@example.org", "straße@example.org")]
)
async def test_look_alikes_are_other_people(intake: Intake, pair: tuple[str, str]) -> None:
    """CVE-2019-19844: folding case or compatibility makes one person's address another's."""
    for email in pair:
        assert (await intake.client().post(PATH, json={"email": email, "issue": "other"})).status_code == 202
    first, second = await intake.events()
    assert first["data"]["email_hash"] != second["data"]["email_hash"]


def _twin(body: dict[str, Any]) -> list[str]:
    """The vulnerable twin: whoever is in the parameter gets the mail."""
    emails = body["email"] if isinstance(body["email"], list) else str(body["email"]).replace(";", ",").split(",")
    return [email for email in emails if "@" in email]


def test_the_corpus_gets_through_the_vulnerable_twin() -> None:
    assert [email for email in INJECTIONS if len(_twin({"email": email})) > 1]
    for email in INJECTIONS:
        with pytest.raises(ValueError, match="email"):
            AssistanceRequestBody.model_validate({"email": email, "issue": "other"})
