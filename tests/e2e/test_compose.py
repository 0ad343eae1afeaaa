"""The containers of docker-compose.yml, by the published interface: a whole recovery, a stop, a start, a killed one.

Asked for with READMIT_TEST_COMPOSE: `build` builds the images first, `images` takes those that are there. It pulls
others' images, so it is no part of what runs everywhere; `tests/contract/test_compose_file.py` is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.compose import LONG_RUNNING, OURS, Compose, engine_is_there, mails, running_compose, wait_for
from tests.requirements import requires
from tests.stack import CODE

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
_WANTED = os.environ.get("READMIT_TEST_COMPOSE", "")
if not _WANTED:
    pytest.skip("asked for with READMIT_TEST_COMPOSE=build or =images", allow_module_level=True)


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    if not engine_is_there():
        requires("a Docker engine with Compose")
    with running_compose(tmp_path_factory.mktemp("compose"), build=_WANTED == "build") as running:
        yield running


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30, trust_env=False) as connection:
        yield connection


_addresses = (f"81.193.12.{last}" for last in range(7, 250))  # ten requests in ten minutes may come from one


def ask_for_help(client: httpx.Client, compose: Compose, role: str) -> str:
    """A request as the sign-in page's backend makes it; returns once an administrator was told of it."""
    person, expert = (compose.facts["people"][name]["email"] for name in (role, "expert"))
    body = {"email": person, "issue": "lost-2fa", "client": {"ip": next(_addresses), "user_agent": "test"}}
    response = client.post(
        f"{compose.url('intake')}/v1/assistance-requests", json=body, headers=compose.headers("platform")
    )
    assert response.status_code == 202, response.text
    reference = str(response.json()["reference_id"])
    query = f'to:"{expert}" subject:"{reference}"'
    (mail,) = wait_for(lambda: mails(client, compose, query), seconds=120, what="the expert is told")
    assert person in mail["Text"]  # in the expert's own language
    return reference


def story(client: httpx.Client, compose: Compose, reference: str) -> list[dict[str, Any]]:
    url = f"{compose.url('audit')}/v1/references/{reference}"
    response = client.get(url, headers=compose.headers("auditor"))
    return list(response.json()["records"]) if response.status_code == 200 else []


def test_a_recovery_from_the_request_to_the_new_password(client: httpx.Client, compose: Compose) -> None:
    erin = compose.facts["people"]["locked_out"]
    reference = ask_for_help(client, compose, "locked_out")

    account, expert = f"{compose.url('recovery')}/v1/accounts/{erin['account_id']}", compose.headers("expert")
    wait_for(lambda: client.get(account, headers=expert).status_code == 200, seconds=60, what="recovery knows Erin")
    reasons = client.get(f"{compose.url('recovery')}/v1/reasons", headers=expert).json()
    body = {"reason": reasons[0]["code"], "reference_id": reference, "details": "Called back on the known number"}
    asked = client.post(f"{account}/recovery-codes", json=body, headers=expert)
    assert asked.status_code == 202, asked.text

    def code() -> str | None:
        texts = [mail["Text"] for mail in mails(client, compose, f'to:"{erin["email"]}"')]
        return next((match[0] for text in texts if (match := CODE.search(text))), None)

    typed = {"email": erin["email"], "code": wait_for(code, seconds=120, what="Erin gets a code")}
    redeem = f"{compose.url('recovery')}/v1/recovery-codes/redeem"
    redeemed = client.post(redeem, json=typed | {"actions": ["reset-password", "remove-2fa"]})
    assert redeemed.status_code == 200, redeemed.text
    assert redeemed.json()["continue_url"] == f"http://identity.localhost:{compose.ports['identity']}/recovered"
    again = client.post(redeem, json=typed | {"actions": ["reset-password"]})
    assert again.status_code == 400

    # The identity platform fetches recovery's keys over the containers' network, and lets Erin choose a password.
    grant = client.post(f"{compose.url('identity')}/recovered", data={"grant": redeemed.json()["grant"]})
    assert (grant.status_code, grant.headers["location"]) == (303, "/recovered/password"), grant.text
    new = {"password": "several-words-make-a-good-one", "password_again": "several-words-make-a-good-one"}
    assert client.post(f"{compose.url('identity')}/recovered/password", data=new).status_code == 303

    expected = {
        "readmit.assistance.requested.v1",
        "readmit.assistance.enriched.v1",
        "readmit.assistance.admin-notified.v1",
        "readmit.recovery.code-sent.v1",
        "readmit.recovery.code-redeemed.v1",
    }
    wait_for(
        lambda: expected <= {item["type"] for item in story(client, compose, reference)},
        seconds=120,
        what="the story is complete",
    )
    state = {"status": "active"}
    wait_for(
        lambda: state.items() <= client.get(account, headers=expert).json().items(),
        seconds=120,
        what="the new password has unlocked Erin's account",
    )


def test_sign_in_to_a_console_leads_to_the_identity_platform(client: httpx.Client, compose: Compose) -> None:
    answer = client.get(f"{compose.url('recovery')}/signin")
    assert answer.status_code in (302, 303), answer.text
    assert answer.headers["location"].startswith(f"http://identity.localhost:{compose.ports['identity']}/")


def test_containers_are_as_closed_as_the_file_says(compose: Compose) -> None:
    for service in OURS:
        container = compose.container(service)
        assert container["Config"]["User"] == "10001:10001"
        assert container["HostConfig"]["ReadonlyRootfs"]
        assert container["HostConfig"]["CapDrop"] == ["ALL"]
        published = [item for items in container["NetworkSettings"]["Ports"].values() for item in items or []]
        assert {item["HostIp"] for item in published} <= {"127.0.0.1"}


def test_stop_is_graceful_and_a_start_finds_everything(client: httpx.Client, compose: Compose) -> None:
    reference = ask_for_help(client, compose, "forgotten")
    before = len(story(client, compose, reference))
    asked = datetime.now().astimezone()
    compose.run("stop", seconds=300)
    for service in LONG_RUNNING:
        state = compose.state(service)
        # A JVM that was asked to end says 143: 128 and the signal's number.
        assert state["ExitCode"] == (143 if service == "kafka" else 0), service
        if service in OURS:
            assert (datetime.fromisoformat(state["FinishedAt"]) - asked).total_seconds() <= 10, service
    compose.up()
    assert len(story(client, compose, reference)) >= before > 0
    ask_for_help(client, compose, "traveller")


# Somebody else each time: by default three requests an hour for one address are told of.
_PEOPLE = dict(
    zip(
        (*OURS, "kafka", "postgres"),
        ("no_two_factor", "auditor", "director", "senior_admin", "highest_level", "admin", "no_permission"),
        strict=True,
    )
)


@pytest.mark.parametrize("service", _PEOPLE)
def test_what_is_killed_comes_back(client: httpx.Client, compose: Compose, service: str) -> None:
    restarts = compose.container(service)["RestartCount"]
    program = ("python", "-c", "import os; os.kill(-1, 9)") if service in OURS else ("bash", "-c", "kill -9 -1")
    compose.kill(service, *program)
    wait_for(
        lambda: compose.container(service)["RestartCount"] > restarts, seconds=60, what=f"{service} is started again"
    )
    compose.until_healthy(LONG_RUNNING)
    ask_for_help(client, compose, _PEOPLE[service])
