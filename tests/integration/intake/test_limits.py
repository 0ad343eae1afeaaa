"""Limits used up: 429 and 503 for some, the same answer for others, and events that tell of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from tests.integration.intake.conftest import Intake, StartIntake
from tests.integration.kit.conftest import wait_for

PATH = "/v1/assistance-requests"
REQUEST = {"email": "amelia@example.org", "issue": "lost-2fa"}
REQUESTED, SUPPRESSED, THROTTLED = (
    f"readmit.assistance.{name}.v1" for name in ("requested", "suppressed", "throttled")
)


def mails(count: int) -> list[dict[str, str]]:
    return [{"email": f"p{number}@example.org", "issue": "other"} for number in range(count)]


async def throttled(intake: Intake, count: int) -> list[dict[str, Any]]:
    async def there() -> bool:
        return len(await intake.events(THROTTLED)) >= count

    await wait_for(there)
    return [event["data"] for event in await intake.events(THROTTLED)]


async def test_n_admitted_are_n_with_a_hundred_at_once(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_NETWORK="7 per hour")
    client = intake.client()
    answers = await asyncio.gather(*(client.post(PATH, json=body) for body in mails(100)))
    assert Counter(answer.status_code for answer in answers) == {202: 7, 429: 93}
    assert len(await intake.events(REQUESTED)) == 7
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["content-type"] == "application/problem+json"
    assert 3590 <= int(refused.headers["retry-after"]) <= 3600
    (first,) = await throttled(intake, 1)
    assert (first["count"], first["limit"], first["outcome"]) == (1, "network", "denied")
    assert (first["ip"], first["network"]) == ("203.0.113.7", "203.0.113.7/32")
    assert (await intake.client("203.0.113.8").post(PATH, json=REQUEST)).status_code == 202


async def test_the_others_of_a_window_are_one_event_at_its_end(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_NETWORK="1 per 2 seconds")
    client = intake.client()
    for body in mails(6):
        await client.post(PATH, json=body)
    first, others = await throttled(intake, 2)
    assert [first["count"], others["count"]] == [1, 4]
    assert first["window_start"] == others["window_start"]
    length = datetime.fromisoformat(first["window_end"]) - datetime.fromisoformat(first["window_start"])
    assert length == timedelta(seconds=2)


async def test_counts_survive_a_stop(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_NETWORK="1 per hour")
    client = intake.client()
    for body in mails(5):
        await client.post(PATH, json=body)
    await throttled(intake, 1)
    await intake.stop()
    assert [event["data"]["count"] for event in await intake.events(THROTTLED)] == [1, 3]


async def test_the_total_is_503_and_names_nobody(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_TOTAL="3 per hour")
    answers = [await intake.client(f"203.0.113.{n}").post(PATH, json=body) for n, body in enumerate(mails(5))]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 503, 503]
    assert answers[-1].headers["content-type"] == "application/problem+json"
    assert int(answers[-1].headers["retry-after"]) > 3000
    (first,) = await throttled(intake, 1)
    assert first["limit"] == "total"
    assert not {"ip", "network"} & set(first)


async def test_an_ipv6_home_is_a_64(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_NETWORK="2 per hour")
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::3", "2001:db8:1:3::1", "::ffff:192.0.2.1"]
    answers = [await intake.client(address).post(PATH, json=REQUEST) for address in addresses]
    assert [answer.status_code for answer in answers] == [202, 202, 429, 202, 202]


async def test_with_a_client_its_network_counts_and_not_the_callers(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_NETWORK="2 per hour")
    platform = intake.platform()

    async def ask(ip: str) -> int:
        return (await platform.post(PATH, json={**REQUEST, "client": {"ip": ip}})).status_code

    assert [await ask(f"192.0.2.{n}") for n in range(10)] == [202] * 10
    assert [await ask("192.0.2.1") for _ in range(3)] == [202, 429, 429]
    (first,) = await throttled(intake, 1)
    assert (first["actor"], first["ip"]) == ("platform", "192.0.2.1")
    assert [(await platform.post(PATH, json=REQUEST)).status_code for _ in range(3)] == [202, 202, 429]


async def test_suppressed_requests_are_answered_alike_and_told_of_later(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_ADDRESS="2 per hour")
    home, stranger = intake.client("203.0.113.7"), intake.client("198.51.100.66")
    answers = [
        await stranger.post(PATH, json={**REQUEST, "email": spelling}) for spelling in ("AMELIA@example.org",) * 5
    ]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["reference_id"] for answer in answers}) == 5
    suppressed = await intake.events(SUPPRESSED)
    assert len(suppressed) == 3
    assert len(await intake.events(REQUESTED)) == 2
    data = suppressed[0]["data"]
    assert (data["outcome"], data["reason"], data["ip"]) == ("suppressed", "address-limit", "198.51.100.66")
    assert data["reference_id"] == answers[2].json()["reference_id"]
    assert "suppressed_before" not in data
    await home.post(PATH, json=REQUEST)  # the same address in another spelling, from elsewhere
    told = (await intake.events(REQUESTED))[-1]["data"]["suppressed_before"]
    assert (told["count"], told["networks"]) == (3, ["198.51.100.66/32"])
    since = datetime.fromisoformat(told["since"])
    assert abs(since - datetime.fromisoformat(suppressed[0]["time"])) < timedelta(seconds=5)
    await home.post(PATH, json=REQUEST)
    assert "suppressed_before" not in (await intake.events(REQUESTED))[-1]["data"], "told twice"


async def test_the_networks_are_told_most_frequent_first_and_at_most_twenty(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_ADDRESS_TOTAL="1 per 3 seconds")
    await intake.client().post(PATH, json=REQUEST)
    for number in range(25):
        for _ in range(3 if number == 24 else 1):
            await intake.client(f"198.51.100.{number}").post(PATH, json=REQUEST)
    assert {event["data"]["reason"] for event in await intake.events(SUPPRESSED)} == {"address-total-limit"}
    count = len(await intake.events(SUPPRESSED))
    intake.clock.ahead = timedelta(seconds=10)
    await intake.client().post(PATH, json=REQUEST)
    told = (await intake.events(REQUESTED))[-1]["data"]["suppressed_before"]
    assert told["count"] == count
    assert len(told["networks"]) == 20
    assert told["networks"][0] == "198.51.100.24/32"


async def test_two_messages_at_once_tell_of_the_suppressed_once(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_ADDRESS="2 per hour")
    stranger = intake.client("198.51.100.66")
    for _ in range(5):
        await stranger.post(PATH, json=REQUEST)
    clients = [intake.client(f"203.0.113.{n}") for n in range(20)]
    await asyncio.gather(*(client.post(PATH, json=REQUEST) for client in clients))
    told = [event["data"].get("suppressed_before") for event in await intake.events(REQUESTED)]
    assert [before["count"] for before in told if before] == [3]


async def test_bad_input_counts_too(start_intake: StartIntake) -> None:
    """Counted before any other work: what is wrong with a request is found out for so many only."""
    intake = await start_intake(READMIT_INTAKE_LIMIT_NETWORK="3 per hour")
    answers = [await intake.client().post(PATH, json={"email": 1}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [422, 422, 422, 429, 429]
