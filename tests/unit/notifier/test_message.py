"""The message as contract section 6 wants it: headings, labels, words, headers, size, languages."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.notifier.adapters.rendering import MAX_BYTES, Renderer
from services.notifier.domain.delivery import Delivery, Recipient, State, Told, message_id
from services.notifier.domain.wording import Limits
from shared.schemas.enrichment import (
    AddressKind,
    AssistanceEnrichedData,
    EarlierRequests,
    Fact,
    FailedSignins,
    Location,
    Network,
    SigninSeen,
    UsedBefore,
)
from shared.schemas.identity import AccountStatus
from shared.schemas.notifier import Via
from tests.unit.notifier import strategies
from tests.unit.notifier.builders import (
    FAILED_SIGNINS,
    NOW,
    SENDER,
    SINCE,
    a_context,
    a_request,
    enriched,
    full_example,
    unmatched,
)
from tests.unit.notifier.parts import facts_of, html_of, parsed, read, text_of

GOLDEN = Path(__file__).parent / "golden"
RENDERER = Renderer(SENDER)
HEADINGS = (
    "Request details",
    "Account status",
    "Recent security events",
    "Request context",
    "Caution",
    "Before you act",
)
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # making a failing request smaller takes minutes
_INVISIBLE = re.compile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def a_delivery(**changes: Any) -> Delivery:
    values: dict[str, Any] = {
        "id": "d-1",
        "admin": "admin-1",
        "via": Via.MESSAGE,
        "message_id": "<0123456789@example.org>",
        "state": State.QUEUED,
        "attempts": 0,
        "created_at": NOW,
    }
    return Delivery(**values | changes)


def message(data: AssistanceEnrichedData, **recipient: Any) -> bytes:
    to = Recipient(**{"address": "admin-1@example.org", "name": "Admin One"} | recipient)
    return RENDERER.message(a_delivery(), to, [Told(data)])


def text(data: AssistanceEnrichedData, **recipient: Any) -> str:
    return text_of(read(message(data, **recipient)))


@pytest.mark.parametrize(
    ("name", "data", "zone"),
    [
        ("account", full_example(), "Europe/Berlin"),
        ("no-account", unmatched(reference_id="RA-0000-0000-0"), None),
    ],
)
def test_golden_text(name: str, data: AssistanceEnrichedData, zone: str | None) -> None:
    path = GOLDEN / f"{name}.txt"
    said = text(data, time_zone=zone)
    if os.environ.get("READMIT_WRITE_GOLDEN") == "1":
        path.write_text(said, "utf-8")
    assert said == path.read_text("utf-8")


def test_headings_in_their_order_and_no_caution_without_cause() -> None:
    lines = text(full_example()).split("\n")
    places = [lines.index(heading) for heading in HEADINGS]
    assert places == sorted(places)
    calm = text(enriched())
    assert "Caution" not in calm
    assert "Never act on this email alone" in calm


def test_no_account_leaves_two_sections_out() -> None:
    said = text(unmatched())
    assert facts_of(said)["Resolved account"] == "none found"
    assert "Account status" not in said
    assert "Recent security events" not in said


@pytest.mark.parametrize(
    ("status", "words"),
    [(AccountStatus.ACTIVE, "yes"), (AccountStatus.LOCKED, "no (locked)"), (AccountStatus.DISABLED, "no (disabled)")],
)
def test_status_in_words(status: AccountStatus, words: str) -> None:
    context = a_context(
        status=Fact[AccountStatus].known(status),
        two_factor_enabled=Fact[bool].known(False),
        unused_backup_codes=Fact[int].known(7),
    )
    facts = facts_of(text(enriched(context=context)))
    assert facts["Account exists"] == "yes"
    assert facts["Account active"] == words
    assert facts["Two-factor authentication"] == "not enabled"
    assert facts["Unused backup codes"] == "7"


def test_none_and_unknown_are_different_answers() -> None:
    none = a_context(
        last_successful_signin=Fact[SigninSeen].none(since=SINCE), failed_signins=Fact[FailedSignins].none(since=SINCE)
    )
    why = "no sign-in data received"
    unknown = a_context(
        last_successful_signin=Fact[SigninSeen].unknown(why), failed_signins=Fact[FailedSignins].unknown(why)
    )
    facts = facts_of(text(enriched(context=none)))
    assert facts["Last successful sign-in"] == "none since 2026-08-01 00:00:00 UTC"
    assert facts["Recent failed sign-ins"] == "0 in the last 24 hours, none since 2026-08-01 00:00:00 UTC"
    facts = facts_of(text(enriched(context=unknown)))
    assert facts["Last successful sign-in"] == "unknown (no sign-in data received)"
    assert facts["Recent failed sign-ins"] == "unknown (no sign-in data received)"


@pytest.mark.parametrize(
    ("kind", "ip", "words"),
    [
        (AddressKind.PRIVATE, "10.1.2.3", "private address"),
        (AddressKind.LOOPBACK, "127.0.0.1", "loopback address"),
        (AddressKind.CARRIER_GRADE_NAT, "100.64.0.9", "carrier-grade NAT address"),
        (AddressKind.DOCUMENTATION, "203.0.113.7", "documentation address"),
    ],
)
def test_special_addresses_say_what_they_are(kind: AddressKind, ip: str, words: str) -> None:
    request = a_request(
        ip=ip, address_kind=kind, location=Fact[Location].unknown(words), network=Fact[Network].unknown(words)
    )
    facts = facts_of(text(enriched(request=request)))
    assert facts["IP address"] == f"{ip} ({words})"
    assert facts["Approximate location"] == words
    assert facts["Network"] == words


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (Fact[UsedBefore].known(UsedBefore(used=False)), "no"),
        (
            Fact[UsedBefore].known(UsedBefore(used=True, count=1, last_at=NOW)),
            "yes, 1 sign-in, last 2026-11-24 01:43:05 UTC",
        ),
        (Fact[UsedBefore].none(since=SINCE), "no, none since 2026-08-01 00:00:00 UTC"),
        (Fact[UsedBefore].unknown("no sign-in data received"), "unknown (no sign-in data received)"),
    ],
)
def test_used_before_begins_with_yes_no_or_unknown(fact: Fact[UsedBefore], words: str) -> None:
    facts = facts_of(text(enriched(request=a_request(ip_used_before=fact, network_used_before=fact))))
    assert facts["IP used before for successful sign-in"] == words
    assert facts["Network used before for successful sign-in"] == words


def test_earlier_requests_begin_with_digits() -> None:
    nothing = Fact[EarlierRequests].none(since=SINCE)
    assert facts_of(text(enriched(request=a_request(earlier_requests=nothing))))["Earlier requests"].startswith(
        "0, none"
    )
    assert facts_of(text(full_example()))["Earlier requests"] == (
        "4 requests; RA-0000-0000-0 at 2026-11-23 22:43:05 UTC; 3 suppressed, without messages of their own, "
        "since 2026-11-23 23:43:05 UTC, from 9.8.7.0/24, 198.51.100.7/32"
    )


def test_a_caution_begins_with_its_words_even_if_its_text_does_not() -> None:
    odd = FAILED_SIGNINS.model_copy(update={"text": "many of them"})
    assert "\nFailed sign-ins: many of them\n" in text(enriched(cautions=(odd,)))


def test_headers() -> None:
    data = full_example()
    raw = message(data)
    mail = read(raw)
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert all(part.get_content_charset() == "utf-8" for part in mail.iter_parts())
    assert mail["Subject"] == "[RA-7K2M-9QXT-5] Assistance request: Lost two-factor authentication"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail["List-Id"] == "<assistance-requests.readmit.example.org>"
    assert mail["X-Readmit-Reference"] == "RA-7K2M-9QXT-5"
    assert mail["From"] == "Account recovery <recovery@example.org>"
    assert mail["To"] == "Admin One <admin-1@example.org>"
    assert mail["Message-ID"] == "<0123456789@example.org>"
    assert mail["Date"] == "Tue, 24 Nov 2026 01:43:05 +0000"
    assert mail["MIME-Version"] == "1.0"
    for name in ("From", "To", "Subject", "Message-ID", "Date", "MIME-Version", "Content-Type"):
        assert len(mail.get_all(name) or []) == 1
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998  # RFC 5322, section 2.1.1
    assert not mail.defects
    assert all(not part.defects for part in mail.walk())


def test_message_id_is_derived_and_tells_no_address() -> None:
    one = message_id(b"k" * 32, "RA-7K2M-9QXT-5", "admin-1", domain="example.org")
    assert one == message_id(b"k" * 32, "RA-7K2M-9QXT-5", "admin-1", domain="example.org")
    assert re.fullmatch(r"<[0-9a-f]{40}@example\.org>", one)
    assert one != message_id(b"k" * 32, "RA-7K2M-9QXT-5", "admin-2", domain="example.org")
    assert one != message_id(b"j" * 32, "RA-7K2M-9QXT-5", "admin-1", domain="example.org")


def test_parts_are_rendered_once_for_all_who_read_one_language() -> None:
    renderer = Renderer(SENDER)
    data = enriched()
    first = renderer.message(a_delivery(), Recipient("one@example.org", "One"), [Told(data)])
    second = renderer.message(a_delivery(message_id="<other@example.org>"), Recipient("two@example.org"), [Told(data)])
    assert first.partition(b"\r\n\r\n")[2] == second.partition(b"\r\n\r\n")[2]
    assert b"two@example.org" not in first
    assert read(second)["To"] == "two@example.org"
    german = renderer.message(a_delivery(), Recipient("drei@example.org", locale="de"), [Told(data)])
    assert text_of(read(german)).startswith("Hilfeanfrage")


@pytest.mark.parametrize(
    ("locale", "lang", "direction", "heading"),
    [
        (None, "en", "ltr", "Request details"),
        ("en", "en", "ltr", "Request details"),
        ("en-GB", "en", "ltr", "Request details"),
        ("fr", "en", "ltr", "Request details"),
        ("de-AT", "de", "ltr", "Angaben zur Anfrage"),
        ("de_DE", "de", "ltr", "Angaben zur Anfrage"),
        ("ar", "ar", "rtl", "تفاصيل الطلب"),
        ("AR-eg", "ar", "rtl", "تفاصيل الطلب"),
    ],
)
def test_the_readers_language(locale: str | None, lang: str, direction: str, heading: str) -> None:
    mail = read(message(full_example(), locale=locale))
    assert f"\n{heading}\n" in text_of(mail)
    (root,) = [attributes for tag, attributes in parsed(html_of(mail)).elements if tag == "html"]
    assert (root["lang"], root["dir"]) == (lang, direction)
    assert "2026-11-24 01:43:05 UTC" in text_of(mail)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Nowhere/Town", "..", "America", None])
def test_utc_always_and_the_readers_zone_in_brackets(zone: str | None) -> None:
    moment = facts_of(text(enriched(), time_zone=zone))["Date and time"]
    assert moment.startswith("2026-11-24 01:43:05 UTC")
    assert ("(2026-11-24 02:43 CET)" in moment) is (zone == "Europe/Berlin")


def test_no_remote_content_and_no_link() -> None:
    elements = parsed(html_of(read(message(full_example())))).elements
    assert not {tag for tag, _ in elements} & {"a", "img", "script", "link", "form", "iframe", "input", "button"}
    assert not any({"src", "href", "background", "action"} & set(attributes) for _, attributes in elements)


def test_the_consoles_address_once() -> None:
    said = text(full_example())
    assert said.count("https://recovery.example.org") == 1
    assert "https://recovery.example.org/console/users?query=a-17" in said


@settings(max_examples=30, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=strategies.enriched_requests,
    language=st.sampled_from(["en", "de", "ar"]),
    zone=st.sampled_from(["", "Asia/Kolkata"]),
)
def test_every_fact_in_the_html_is_in_the_text(data: AssistanceEnrichedData, language: str, zone: str) -> None:
    _, said, html = RENDERER.render(data, language, zone, Limits())
    plain = " ".join(said.split())
    for fact in parsed(html).texts:
        assert fact.strip(" :;") in plain
    shown = " ".join(" ".join(parsed(html).texts).split())
    for line in filter(None, (line.strip() for line in said.split("\n"))):
        for piece in line.split("; "):
            squeezed = re.sub(r"[\s:;]", "", piece)
            assert squeezed.removeprefix("--") in re.sub(r"[\s:;]", "", shown)
    assert not _INVISIBLE.search(said + html)


@settings(max_examples=15, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
@given(data=strategies.enriched_requests, locale=st.sampled_from(["en", "de", "ar"]))
def test_what_the_schema_allows_fits_and_parses(data: AssistanceEnrichedData, locale: str) -> None:
    raw = message(data, locale=locale)
    assert len(raw) <= MAX_BYTES
    assert data.reference_id in text_of(read(raw))


@pytest.mark.parametrize("locale", ["en", "de", "ar"])
def test_the_longest_that_the_schema_allows_is_cut_to_the_limit(locale: str) -> None:
    raw = message(strategies.longest_request(), locale=locale, name="💥" * 256)
    assert len(raw) <= MAX_BYTES
    said = text_of(read(raw))
    assert strategies.longest_request().reference_id in said
    assert "…" in said


def test_digest_tells_each_reference_and_splits() -> None:
    told = [Told(unmatched()) for _ in range(130)]
    recipient = Recipient("admin-1@example.org")
    parts = RENDERER.digest_parts(recipient, told)
    assert [item for part in parts for item in part] == told
    assert len(parts) > 1
    for number, part in enumerate(parts):
        raw = RENDERER.message(a_delivery(id=f"d-{number}", via=Via.DIGEST), recipient, part)
        assert len(raw) <= MAX_BYTES
        mail = read(raw)
        assert mail["X-Readmit-Reference"] is None
        assert all(item.reference_id in text_of(mail) for item in part)
        assert mail["Subject"] == f"{len(part)} further assistance requests"


def test_a_later_attempt_is_the_same_message() -> None:
    data = enriched()
    again = a_delivery(attempts=3, state=State.SENDING)
    assert Renderer(SENDER).message(again, Recipient("a@example.org"), [Told(data)]).count(b"Date:") == 1
    first, second = (
        read(RENDERER.message(delivery, Recipient("a@example.org"), [Told(data)])) for delivery in (a_delivery(), again)
    )
    assert first.as_bytes() == second.as_bytes()
    assert timedelta(0) == NOW - a_delivery().created_at
