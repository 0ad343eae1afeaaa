"""Lies about where a request comes from, and about where the service is."""

# ruff: noqa: F401, F811 (fixtures are imported to be found by name)
from __future__ import annotations

import re

import pytest

from tests.integration.intake.conftest import Intake, StartIntake, intake, issuer, start_intake, topics

PATH = "/v1/assistance-requests"
REQUEST = {"email": "amelia@example.org", "issue": "lost-2fa"}

FORGERIES = [
    {"X-Forwarded-For": "192.0.2.66"},
    {"X-Forwarded-For": "192.0.2.66, 10.0.0.1"},
    {"X-Real-IP": "192.0.2.66"},
    {"X-Client-IP": "192.0.2.66"},
    {"True-Client-IP": "192.0.2.66"},
    {"CF-Connecting-IP": "192.0.2.66"},
    {"Forwarded": "for=192.0.2.66"},
    {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=192.0.2.66", "X-Real-IP": "::1"},
]


async def recorded_ip(intake: Intake) -> str:
    return str((await intake.events())[-1]["data"]["ip"])


@pytest.mark.parametrize("headers", FORGERIES, ids=str)
async def test_what_a_client_says_of_its_address_is_nothing(intake: Intake, headers: dict[str, str]) -> None:
    """CVE-2023-36456: the address that administrators see can't be forged."""
    assert (await intake.client().post(PATH, json=REQUEST, headers=headers)).status_code == 202
    assert await recorded_ip(intake) == "203.0.113.7"


async def test_behind_a_proxy_only_its_own_entry_counts(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_TRUSTED_PROXIES="10.0.0.0/8")
    proxy = intake.client("10.0.0.1")
    for sent, ip in [
        ({"X-Forwarded-For": "198.51.100.1"}, "198.51.100.1"),
        ({"X-Forwarded-For": "192.0.2.66, 198.51.100.1"}, "198.51.100.1"),
        ({"X-Forwarded-For": "192.0.2.66, 198.51.100.1, 10.0.0.9"}, "198.51.100.1"),
        ({"X-Forwarded-For": "198.51.100.1", "Forwarded": "for=192.0.2.66"}, "198.51.100.1"),
        ({"Forwarded": "for=192.0.2.66"}, "10.0.0.1"),
        ({"X-Forwarded-For": "192.0.2.66, nonsense"}, "10.0.0.1"),
    ]:
        assert (await proxy.post(PATH, json=REQUEST, headers=sent)).status_code == 202
        assert await recorded_ip(intake) == ip, sent
    two_lines = [("X-Forwarded-For", "192.0.2.66"), ("X-Forwarded-For", "198.51.100.1")]
    assert (await proxy.post(PATH, json=REQUEST, headers=two_lines)).status_code == 202
    assert await recorded_ip(intake) == "198.51.100.1"


async def test_the_other_header_by_setting(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_TRUSTED_PROXIES="10.0.0.0/8", READMIT_TRUSTED_PROXY_HEADER="Forwarded")
    headers = {"Forwarded": 'for=192.0.2.66, for="[2001:db8::1]:4711"', "X-Forwarded-For": "192.0.2.66"}
    await intake.client("10.0.0.1").post(PATH, json=REQUEST, headers=headers)
    assert await recorded_ip(intake) == "2001:db8::1"


async def test_a_thousand_invented_addresses_are_one_network(start_intake: StartIntake) -> None:
    """GHSA-hm36-ffrh-c77c: a limit that a header resets is none."""
    intake = await start_intake(READMIT_INTAKE_LIMIT_NETWORK="5 per hour", READMIT_TRUSTED_PROXIES="10.0.0.0/8")
    client, proxy = intake.client("203.0.113.7"), intake.client("10.0.0.1")
    statuses = []
    for number in range(1000):
        invented = f"192.0.{number // 250}.{number % 250}"
        through = proxy if number % 2 else client
        chain = f"{invented}, 203.0.113.7" if number % 2 else invented
        answer = await through.post(PATH, json=REQUEST, headers={"X-Forwarded-For": chain})
        statuses.append(answer.status_code)
    assert statuses == [202] * 5 + [429] * 995


HOSTS = [
    {"Host": "evil.example"},
    {"Host": "evil.example:443"},
    {"X-Forwarded-Host": "evil.example"},
    {"Forwarded": "host=evil.example;proto=http"},
    {"X-Forwarded-Proto": "javascript", "X-Forwarded-Host": "evil.example"},
    {"X-Original-URL": "/admin", "X-Rewrite-URL": "/admin"},
    {"X-Forwarded-Prefix": "//evil.example"},
]


@pytest.mark.parametrize("headers", HOSTS, ids=str)
async def test_no_header_changes_a_byte_of_a_page_or_an_event(intake: Intake, headers: dict[str, str]) -> None:
    """CVE-2025-25198: nothing is ever built from a Host header."""
    client = intake.client()
    assert (await client.get("/", headers=headers)).content == (await client.get("/")).content
    answers = [await client.post("/", data=REQUEST, headers=sent) for sent in ({}, headers)]
    pages = [re.sub(r"RA-[0-9A-Z-]{11}", "RA", answer.text) for answer in answers]
    assert pages[0] == pages[1]
    assert "evil" not in str(await intake.events())
    for answer in answers:
        assert "evil" not in str(answer.headers)
