"""Signing in to the demo platform and coming back by a grant, driven as a browser does."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from deploy.demo.identity import credentials
from deploy.demo.organisation import BY_ROLE
from tests.integration.demo.stand import INTAKE, PLATFORM, RECOVERY, Platform, Readmit, code_of, secret_on

WRONG = "certainly-not-it-00"
ERIN = BY_ROLE["locked_out"].account_id
FELIX = BY_ROLE["forgotten"].account_id


async def test_password_only(platform: Platform) -> None:
    answer = await platform.sign_in("expert")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/home"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    home = await platform.browser.get("/home")
    assert "Bruno Kompass" in home.text
    assert f"{RECOVERY}/console/users" in home.text
    assert platform.kinds() == ["signin-succeeded"]
    assert platform.reported()[0]["data"]["method"] == "password"
    assert platform.reported()[0]["data"]["ip"] == "127.0.0.1"


async def test_authenticator_code_works_once(platform: Platform) -> None:
    secret = platform.people["forgotten"]["totp_secret"]
    assert (await platform.sign_in("forgotten")).headers["location"] == "/second-factor"
    assert (await platform.browser.get("/home")).status_code == 303, "not signed in by the password alone"
    code = code_of(secret)
    assert (await platform.browser.post("/second-factor", data={"code": code})).headers["location"] == "/home"
    await platform.sign_in("forgotten")
    assert (await platform.browser.post("/second-factor", data={"code": code})).status_code == 400
    assert platform.kinds() == ["signin-succeeded", "signin-failed"]


async def test_backup_code_works_once_and_is_counted(platform: Platform) -> None:
    code = platform.backup_code("forgotten")
    await platform.sign_in("forgotten")
    answer = await platform.browser.post("/second-factor", data={"code": code.upper().replace("-", " ")})
    assert answer.headers["location"] == "/home"
    assert platform.kinds() == ["backup-codes-changed", "account", "signin-succeeded"]
    assert platform.reported()[0]["data"] | {"ip": ""} == {
        "account_id": FELIX, "change": "used", "unused": 4, "ip": "",
    }  # fmt: skip
    assert platform.last_state()["unused_backup_codes"] == 4
    await platform.sign_in("forgotten")
    assert (await platform.browser.post("/second-factor", data={"code": code})).status_code == 400


async def test_locks_after_five_failures(platform: Platform) -> None:
    for _ in range(5):
        assert (await platform.sign_in("expert", WRONG)).status_code == 400
    assert platform.kinds() == ["signin-failed"] * 5 + ["locked", "account"]
    assert platform.last_state()["status"] == "locked"
    assert (await platform.sign_in("expert")).status_code == 400, "the right password doesn't help any more"
    assert platform.reported()[-1]["data"]["failure"] == "locked"


async def test_wrong_second_factors_lock_too_and_passwords_in_between_do_not_help(platform: Platform) -> None:
    for _ in range(5):
        await platform.sign_in("forgotten")
        await platform.browser.post("/second-factor", data={"code": "000000"})
    assert platform.last_state()["status"] == "locked"
    assert platform.kinds().count("signin-failed") == 5


async def test_many_at_once_get_no_more_tries(platform: Platform) -> None:
    """CVE-2024-1722: a limit that is checked before it is counted lets simultaneous tries through."""
    await asyncio.gather(*(platform.sign_in("expert", WRONG) for _ in range(30)))
    failures = [event["data"]["failure"] for event in platform.reported() if "failure" in event["data"]]
    assert failures.count("bad-password") == 5
    assert failures.count("locked") == 25
    assert platform.kinds().count("locked") == 1


async def test_the_same_answer_whatever_is_wrong(platform: Platform) -> None:
    """Wrong password, unknown address, locked and disabled account: same status, same page."""
    pages = set()
    for email in ("bruno.kompass@example.org", "nobody@example.org", "erin.umbrella@example.org",
                  "nils.haferkorn@example.org"):  # fmt: skip
        answer = await platform.browser.post("/", data={"email": email, "password": WRONG})
        pages.add((answer.status_code, answer.text.replace(email, "EMAIL"), answer.headers.get("set-cookie")))
    assert len(pages) == 1
    assert f'href="{INTAKE}/"' in next(iter(pages))[1]
    failures = [event["data"]["failure"] for event in platform.reported()]
    assert failures == ["bad-password", "unknown-account", "locked", "disabled"]


@pytest.mark.parametrize(
    "email",
    [
        "not an address",
        "a@b",
        "a@b\r\nx: y",
        "x" * 300 + "@example.org",
        "",
        "@\x00",
        "<a@example.org>",
        "a@-.org",
        "a..b@example.org",
        "a@b_c.org",
    ],
)
async def test_odd_addresses_are_reported_to_nobody(platform: Platform, email: str) -> None:
    assert (await platform.browser.post("/", data={"email": email, "password": WRONG})).status_code == 400
    assert platform.kinds() == []


async def test_forms_of_other_sites_are_refused(platform: Platform) -> None:
    person = platform.people["expert"]
    form = {"email": person["email"], "password": person["password"]}
    for headers in ({"origin": "http://127.0.0.1:28104"}, {"sec-fetch-site": "same-site"}, {"origin": "null"}):
        assert (await platform.browser.post("/", data=form, headers=headers)).status_code == 403
    same = {"origin": PLATFORM, "sec-fetch-site": "same-origin"}
    assert (await platform.browser.post("/", data=form, headers=same)).status_code == 303


async def test_sign_out(platform: Platform) -> None:
    await platform.sign_in("expert")
    cookies = dict(platform.browser.cookies)
    await platform.browser.post("/sign-out")
    again = platform.new_browser()
    again.cookies.update(cookies)
    assert (await again.get("/home")).status_code == 303, "ended on the server too"


async def test_pages_carry_a_policy_and_escape(platform: Platform) -> None:
    answer = await platform.browser.post("/", data={"email": '"><script>alert(1)</script>@x', "password": "x"})
    assert "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "Demo identity platform" in answer.text
    assert (await platform.browser.get("/", headers={"host": "evil.example"})).status_code == 400


async def test_the_whole_way_back(platform: Platform) -> None:
    """Erin: a grant for both, a weak password refused, a new one, a new authenticator, and in again."""
    grant = platform.readmit.grant(ERIN, "reset-password", "remove-2fa", reference_id="RA-7K2M-9QXT-5")
    headers = {"origin": RECOVERY, "sec-fetch-site": "same-site"}
    answer = await platform.browser.post("/recovered", data={"grant": grant}, headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, "/recovered/password")
    assert (await platform.browser.get("/two-factor")).status_code == 303, "the password comes first"

    for password, again in (("short", "short"), ("password12345", "password12345"), ("long-enough-1", "different")):
        form = {"password": password, "password_again": again}
        assert (await platform.browser.post("/recovered/password", data=form)).status_code == 400
    password = "umbrella weather again"
    answer = await platform.browser.post("/recovered/password", data={"password": password, "password_again": password})
    assert answer.headers["location"] == "/two-factor"

    page = (await platform.browser.get("/two-factor")).text
    assert "<svg" in page
    secret = secret_on(page)
    assert (await platform.browser.post("/two-factor", data={"code": "000000"})).status_code == 400
    assert secret_on((await platform.browser.get("/two-factor")).text) == secret, "the same until confirmed"
    done = await platform.browser.post("/two-factor", data={"code": code_of(secret)})
    assert "backup codes" in done.text

    assert platform.kinds() == [
        "two-factor-changed", "account", "password-changed", "unlocked", "account",
        "two-factor-changed", "backup-codes-changed", "account",
    ]  # fmt: skip
    changes = [event["data"].get("change") for event in platform.reported()]
    assert changes == ["removed", None, None, None, None, "enrolled", "generated", None]
    state = platform.last_state()
    assert (state["status"], state["two_factor_enabled"], state["unused_backup_codes"]) == ("active", True, 10)
    assert state["notification_emails"] == ["erin.umbrella.private@example.com"]

    assert (await platform.browser.get("/home")).status_code == 303, "a grant does not sign in"
    assert (await platform.sign_in("locked_out", password)).headers["location"] == "/second-factor"
    answer = await platform.browser.post("/second-factor", data={"code": code_of(secret, 1)})
    assert answer.headers["location"] == "/home"
    assert credentials(platform.folder, PLATFORM)[1]["locked_out"]["password_changed"] is True


async def test_password_only_grant_keeps_the_second_factor(platform: Platform) -> None:
    await platform.browser.post("/recovered", data={"grant": platform.readmit.grant(FELIX, "reset-password")})
    form = {"password": "a doorbell rings twice", "password_again": "a doorbell rings twice"}
    assert (await platform.browser.post("/recovered/password", data=form)).headers["location"] == "/?notice=password"
    assert (await platform.browser.post("/recovered/password", data=form)).headers["location"] == "/", "once"
    assert platform.kinds() == ["password-changed", "account"]
    assert (await platform.sign_in("forgotten", form["password"])).headers["location"] == "/second-factor"


async def test_removal_only_grant_and_not_now(platform: Platform) -> None:
    answer = await platform.browser.post("/recovered", data={"grant": platform.readmit.grant(FELIX, "remove-2fa")})
    assert answer.headers["location"] == "/two-factor"
    assert (await platform.browser.post("/two-factor/skip")).headers["location"] == "/?notice=two-factor"
    assert platform.kinds() == ["two-factor-changed", "account"]
    assert platform.last_state()["unused_backup_codes"] == 0
    assert (await platform.sign_in("forgotten")).headers["location"] == "/home"


async def test_a_new_password_ends_other_sessions(platform: Platform) -> None:
    await platform.sign_in("expert")
    other = platform.new_browser()
    grant = platform.readmit.grant(BY_ROLE["expert"].account_id, "reset-password")
    await other.post("/recovered", data={"grant": grant})
    form = {"password": "kompass points north", "password_again": "kompass points north"}
    await other.post("/recovered/password", data=form)
    assert (await platform.browser.get("/home")).status_code == 303


async def test_a_grant_is_honoured_once_of_fifty_at_once(platform: Platform) -> None:
    """CVE-2026-3590: simultaneous redemption."""
    grant = platform.readmit.grant(FELIX, "reset-password")
    browsers = [platform.new_browser() for _ in range(50)]
    answers = await asyncio.gather(*(browser.post("/recovered", data={"grant": grant}) for browser in browsers))
    assert sorted(answer.status_code for answer in answers) == [303] + [400] * 49


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "http://evil.example"},
        {"aud": "http://other.example"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"exp": 99999999999},
        {"exp": "soon"},
        {"jti": None},
        {"sub": None},
        {"sub": "u-9999"},
        {"sub": BY_ROLE["disabled"].account_id},
        {"actions": []},
        {"actions": None},
        {"actions": "reset-password"},
        {"actions": ["reset-password", "become-admin"]},
        {"typ": "at+jwt"},
        {"typ": "JWT"},
        {"headers": {"crit": ["exp"], "exp": 1}},
        {"headers": {"crit": ["b64"], "b64": False}},
        {"headers": {"kid": None}, "jti": None},
        {"headers": {"kid": "../../etc/passwd"}},
    ],
    ids=str,
)
async def test_a_grant_that_is_not_in_order_changes_nothing(platform: Platform, changes: dict[str, Any]) -> None:
    """CVE-2025-59420, CVE-2026-32597: type, crit and claims are all checked."""
    grant = platform.readmit.grant(FELIX, "reset-password", **changes)
    answer = await platform.browser.post("/recovered", data={"grant": grant})
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers
    assert platform.kinds() == []


async def test_a_grant_under_another_key_of_the_same_name_is_refused(platform: Platform) -> None:
    grant = Readmit().grant(FELIX, "reset-password")
    assert (await platform.browser.post("/recovered", data={"grant": grant})).status_code == 400
    assert platform.kinds() == []


@pytest.mark.parametrize("grant", ["", "x", "a.b.c", "e30.e30.", "eyJhbGciOiJub25lIn0.e30."])
async def test_what_is_no_grant_is_refused(platform: Platform, grant: str) -> None:
    assert (await platform.browser.post("/recovered", data={"grant": grant})).status_code == 400


async def test_a_grant_survives_recovery_being_away(platform: Platform) -> None:
    platform.readmit.keys_available = False
    grant = platform.readmit.grant(FELIX, "reset-password")
    answer = await platform.browser.post("/recovered", data={"grant": grant})
    assert answer.status_code == 503
    assert grant in answer.text, "to try again with"
    platform.readmit.keys_available = True
    assert (await platform.browser.post("/recovered", data={"grant": grant})).status_code == 303


async def test_signed_in_people_can_enrol(platform: Platform) -> None:
    await platform.sign_in("no_two_factor")
    secret = secret_on((await platform.browser.get("/two-factor")).text)
    assert (await platform.browser.post("/two-factor", data={"code": code_of(secret)})).status_code == 200
    assert platform.last_state()["two_factor_enabled"] is True
    assert (await platform.browser.get("/two-factor")).status_code == 303, "not twice"


async def test_readiness_and_large_forms(platform: Platform) -> None:
    assert (await platform.browser.get("/health/ready")).json() == {"status": "ready"}
    answer: httpx.Response = await platform.browser.post("/", data={"email": "x" * 70_000})
    assert answer.status_code == 413
