"""The seeded history: the same bytes each time, valid, and ending where the organisation says."""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.geoip.networks import NETWORKS
from deploy.demo.organisation import ACCOUNTS, BY_ID, BY_ROLE
from deploy.demo.seed import ANCHOR, HISTORY, LIVE_PREFIX, path
from deploy.demo.seed.generator import generate, to_line
from deploy.demo.seed.story import states
from shared.schemas.identity import IdentityEvent
from shared.schemas.registry import decode

NOW = datetime(2027, 2, 18, 14, 7, 3, tzinfo=UTC)  # a Thursday


@pytest.fixture(scope="module")
def history() -> list[dict[str, Any]]:
    return [json.loads(line) for line in HISTORY.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    copy = path(tmp_path_factory.mktemp("seed"), NOW)
    return [json.loads(line) for line in copy.read_text(encoding="utf-8").splitlines()]


def _of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == f"readmit.identity.{kind}.v1"]


def _time(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["time"])


def test_committed_file_is_what_the_generator_writes() -> None:
    assert HISTORY.read_text(encoding="utf-8") == "".join(to_line(event) + "\n" for event in generate())


def test_size_is_as_promised(history: list[dict[str, Any]]) -> None:
    assert 4500 <= len(history) <= 5500
    assert HISTORY.stat().st_size < 3_000_000


def test_every_published_type_occurs(history: list[dict[str, Any]]) -> None:
    kinds = {event["type"].removeprefix("readmit.identity.").removesuffix(".v1") for event in history}
    assert kinds == {
        "account", "account-removed", "signin-succeeded", "signin-failed", "password-changed", "email-changed",
        "two-factor-changed", "backup-codes-changed", "locked", "unlocked",
    }  # fmt: skip


def test_every_value_of_the_vocabularies_occurs(history: list[dict[str, Any]]) -> None:
    failures = {event["data"]["failure"] for event in _of(history, "signin-failed")}
    assert failures == {"bad-password", "bad-second-factor", "locked", "disabled", "unknown-account"}
    assert {event["data"]["change"] for event in _of(history, "two-factor-changed")} == {"enrolled", "removed"}
    assert {event["data"]["change"] for event in _of(history, "backup-codes-changed")} == {"generated", "used"}


def test_envelopes_are_complete_and_ids_unique(history: list[dict[str, Any]]) -> None:
    assert len({event["id"] for event in history}) == len(history)
    for event in history:
        assert event["specversion"] == "1.0"
        assert event["source"]
        assert _time(event).tzinfo is not None
        assert event.get("subject") == event["data"].get("account_id")
        if "ip" in event["data"]:
            ipaddress.ip_address(event["data"]["ip"])
        assert len(to_line(event).encode()) < 32 * 1024


def test_the_published_models_take_every_event() -> None:
    for line in HISTORY.read_bytes().splitlines():
        event = decode(line)
        assert isinstance(event, IdentityEvent), line


def test_twenty_accounts_over_all_states() -> None:
    assert len(ACCOUNTS) == len(BY_ID) == 20
    assert Counter(account.status for account in ACCOUNTS) == {"active": 15, "locked": 3, "disabled": 2}
    assert {account.data_protection_access for account in ACCOUNTS} == {0, 1, 2, 3}
    assert {account.expert_mode for account in ACCOUNTS if account.data_protection_access >= 2} == {True, False}
    assert {account.locale for account in ACCOUNTS} == {None, "en", "de", "ar"}
    assert {0, 1, 10} <= {account.unused_backup_codes for account in ACCOUNTS}
    assert {account.two_factor_enabled for account in ACCOUNTS} == {True, False}
    assert len({account.time_zone for account in ACCOUNTS}) >= 8
    assert sum(account.removed for account in ACCOUNTS) == 1
    assert any(account.status != "active" and account.data_protection_access for account in ACCOUNTS)


def test_the_tours_people_have_what_their_parts_need() -> None:
    admin, expert, nobody = BY_ROLE["admin"], BY_ROLE["expert"], BY_ROLE["no_permission"]
    assert admin.status == expert.status == nobody.status == "active"
    assert admin.data_protection_access in (1, 2)
    assert not admin.expert_mode
    assert expert.data_protection_access >= 2
    assert expert.expert_mode
    assert nobody.data_protection_access == 0
    erin = BY_ROLE["locked_out"]
    assert erin.two_factor_enabled
    assert erin.unused_backup_codes == 0
    # Consoles are signed in to with a password only, for who has no authenticator at hand.
    assert not any(BY_ROLE[role].two_factor_enabled for role in ("admin", "expert", "auditor"))


@pytest.mark.parametrize("account_id", BY_ID)
def test_changes_lead_to_the_final_state(account_id: str) -> None:
    account = BY_ID[account_id]
    *_, (_, final) = states(account)
    # Erin's lock is the attack's doing, told in the live part.
    expected = account.state() | ({"status": "active"} if account is BY_ROLE["locked_out"] else {})
    assert final == expected


def test_last_report_of_each_account_is_its_final_state(shifted: list[dict[str, Any]]) -> None:
    latest: dict[str, dict[str, Any]] = {}
    for event in sorted(shifted, key=lambda event: (event["time"], event["id"])):
        if event["type"] == "readmit.identity.account.v1":
            latest[event["data"]["account_id"]] = event["data"]
        elif event["type"] == "readmit.identity.account-removed.v1":
            del latest[event["data"]["account_id"]]
    assert latest == {account.account_id: account.state() for account in ACCOUNTS if not account.removed}


def test_nobody_signs_in_while_locked_disabled_or_removed(shifted: list[dict[str, Any]]) -> None:
    status: dict[str, str] = {}
    for event in sorted(shifted, key=_time):
        account_id = event["data"].get("account_id", "")
        match event["type"].split(".")[2]:
            case "account":
                status[account_id] = event["data"]["status"]
            case "locked":
                status[account_id] = "locked"
            case "unlocked":
                status[account_id] = "active"
            case "account-removed":
                status[account_id] = "removed"
            case "signin-succeeded":
                assert status[account_id] == "active", event


def test_copy_ends_just_before_now_and_keeps_ids(history: list[dict[str, Any]], shifted: list[dict[str, Any]]) -> None:
    assert timedelta() < NOW - _time(shifted[-1]) < timedelta(minutes=2)
    assert timedelta(days=90) < NOW - _time(shifted[0]) < timedelta(days=99)
    assert {event["id"] for event in shifted} <= {event["id"] for event in history}
    assert len(shifted) >= 4500
    assert [_time(event) for event in shifted] == sorted(_time(event) for event in shifted)


def test_copy_keeps_weekdays_and_hours(history: list[dict[str, Any]], shifted: list[dict[str, Any]]) -> None:
    times = {event["id"]: _time(event) for event in history}
    for event in shifted:
        moved = _time(event) - times[event["id"]]
        if event["id"].startswith(LIVE_PREFIX):
            assert abs(NOW - ANCHOR - moved) < timedelta(minutes=1)
        else:
            assert moved % timedelta(weeks=1) == timedelta()


def test_copy_is_written_once(tmp_path: Path) -> None:
    first = path(tmp_path, NOW)
    before = first.read_bytes()
    assert path(tmp_path, NOW + timedelta(days=3)) == first
    assert first.read_bytes() == before


def test_clocks_before_the_anchor_work_too(tmp_path: Path) -> None:
    early = ANCHOR - timedelta(days=400, hours=5)
    last = json.loads(path(tmp_path, early).read_text(encoding="utf-8").splitlines()[-1])
    assert _time(last) < early


def test_both_attacks_are_under_way(shifted: list[dict[str, Any]]) -> None:
    last_day = [event for event in _of(shifted, "signin-failed") if NOW - _time(event) < timedelta(hours=24)]
    spray = [event for event in last_day if _from(event, "hosting-amsterdam")]
    assert len({event["data"].get("account_id", event["data"].get("email")) for event in spray}) >= 25
    guesses = [event for event in last_day if _from(event, "hosting-ashburn")]
    erin = BY_ROLE["locked_out"].account_id
    assert sum(event["data"].get("account_id") == erin for event in guesses) >= 25
    look_alikes = {event["data"]["email"] for event in guesses if "email" in event["data"]}
    assert len(look_alikes) == 4
    assert BY_ROLE["locked_out"].email not in look_alikes
    for attack in (spray, guesses):
        assert NOW - max(_time(event) for event in attack) < timedelta(minutes=15)


def test_the_place_of_the_tour_is_new_to_everybody(history: list[dict[str, Any]]) -> None:
    assert not any(_from(event, "travel-lisbon") for event in history if "ip" in event["data"])


def _from(event: dict[str, Any], network: str) -> bool:
    return ipaddress.ip_address(event["data"]["ip"]) in ipaddress.ip_network(NETWORKS[network].cidr)
