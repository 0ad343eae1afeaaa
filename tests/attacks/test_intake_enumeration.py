"""No answer tells anything of an account, nor whether a limit of its address is used up (CVE-2024-45231)."""

# ruff: noqa: F401, F811 (fixtures are imported to be found by name)
from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.engines import free_port
from tests.integration.intake.conftest import Intake, StartIntake, intake, issuer, start_intake, topics
from tests.integration.intake.test_events import an_event, post

PATH = "/v1/assistance-requests"
SAME_LENGTH = {
    "active": "active-one@example.org",
    "locked": "locked-one@example.org",
    "disabled": "disable-on@example.org",
    "removed": "removed-on@example.org",
    "unknown": "unknown-on@example.org",
    "limited": "limited-on@example.org",
}
_REFERENCE = re.compile(rb"RA-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]")


def seen(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes, int]:
    """All that a client sees, the reference aside."""
    assert len(_REFERENCE.findall(answer.content)) == 1
    body = _REFERENCE.sub(b"RA", answer.content)
    return answer.status_code, sorted(answer.headers.raw), body, len(answer.content)


async def know_the_accounts(intake: Intake) -> None:
    events = []
    for number, status in enumerate(("active", "locked", "disabled", "removed")):
        data: dict[str, Any] = {
            "account_id": f"u-{number}", "email": SAME_LENGTH[status], "display_name": status,
            "status": "active" if status == "removed" else status, "two_factor_enabled": True,
            "unused_backup_codes": 0, "data_protection_access": 3, "expert_mode": True,
        }  # fmt: skip
        events.append(an_event("account", data))
    events.append(an_event("account-removed", {"account_id": "u-3"}))
    assert (await post(intake.platform(), events)).status_code == 202


@pytest.mark.parametrize("way", ["json", "form"])
@pytest.mark.parametrize("language", ["en", "de", "ar"])
async def test_the_answers_are_equal_byte_for_byte(start_intake: StartIntake, way: str, language: str) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_ADDRESS="2 per hour")
    await know_the_accounts(intake)

    async def ask(email: str) -> httpx.Response:
        body, headers = {"email": email, "issue": "locked-out"}, {"Accept-Language": language}
        client = intake.client()
        if way == "json":
            return await client.post(PATH, json=body, headers=headers)
        return await client.post("/", data=body, headers=headers)

    for _ in range(4):
        await ask(SAME_LENGTH["limited"])
    answers = {state: seen(await ask(email)) for state, email in SAME_LENGTH.items()}
    assert len({str(answer) for answer in answers.values()}) == 1, answers
    suppressed = await intake.events("readmit.assistance.suppressed.v1")
    assert {event["data"]["email"] for event in suppressed} == {SAME_LENGTH["limited"]}


async def test_the_answer_is_the_same_without_the_broker(start_intake: StartIntake, intake: Intake) -> None:
    alone = await start_intake(servers=[f"127.0.0.1:{free_port()}"])
    body = {"email": SAME_LENGTH["active"], "issue": "other"}
    answers = [await one.client().post(PATH, json=body) for one in (intake, alone)]
    assert seen(answers[0]) == seen(answers[1])


async def test_intake_has_no_account_to_tell_of(intake: Intake) -> None:
    """Impossible by construction: what it knows of accounts are the bytes that it passed on."""
    await know_the_accounts(intake)
    rows = await intake.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in rows} == {
        "requests", "idempotency_keys", "feeds", "ledger", "outbox", "inbox", "dead_letters", "dead_letter_actions",
        "alembic_version",
    }  # fmt: skip


async def test_metrics_do_not_tell_what_became_of_a_request(start_intake: StartIntake) -> None:
    intake = await start_intake(READMIT_INTAKE_LIMIT_ADDRESS="1 per hour")
    for _ in range(3):
        await intake.client().post(PATH, json={"email": SAME_LENGTH["active"], "issue": "other"})
    text = (await intake.client().get("/metrics")).text
    assert "suppress" not in text
    assert SAME_LENGTH["active"].partition("@")[0] not in text
