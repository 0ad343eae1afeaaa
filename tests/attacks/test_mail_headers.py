"""Headers that nothing can break out of (CVE-2024-6923), and the message as it goes over the wire."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kit.mail.message import Mail, UnsafeHeader, compose, envelope_address
from shared.kit.mail.settings import MailSettings

BASE: dict[str, Any] = {
    "sender": "Readmit <readmit@example.org>",
    "recipient": "admin@example.org",
    "subject": "RA-7K2M-9QXT-5: lost 2FA",
    "text": "Hello\n",
    "html": "<p>Hello</p>\n",
    "message_id": "<RA-7K2M-9QXT-5.a-1@example.org>",
    "date": datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC),
}
ADDED = {"x-evil", "bcc", "cc"}


def mail(**changes: Any) -> bytes:
    return compose(Mail(**(BASE | changes)))


def read(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def addresses(message: EmailMessage, header: str) -> list[str]:
    """The bare addresses; the library reads raw UTF-8 (RFC 6532) as escaped bytes."""
    return [item.addr_spec.encode("utf-8", "surrogateescape").decode() for item in message[header].addresses]


def assert_well_formed(raw: bytes, *, lines_up_to: int = 998) -> EmailMessage:
    """RFC 5322, section 2.1: CRLF and nothing else ends a line, and no line is longer than 998 octets."""
    without = raw.replace(b"\r\n", b"")
    assert b"\r" not in without
    assert b"\n" not in without
    assert b"\x00" not in raw
    assert max(map(len, raw.split(b"\r\n"))) <= lines_up_to
    message = read(raw)
    names = [name.lower() for name in message.keys()]  # noqa: SIM118  # a message's keys repeat
    assert len(names) == len(set(names)), "each header once"
    assert not ADDED & set(names)
    assert not message.defects
    return message


def test_the_checklist_of_a_notification() -> None:
    raw = mail(headers={"List-Id": "Readmit <readmit.example.org>", "X-Readmit-Reference": "RA-7K2M-9QXT-5"})
    message = assert_well_formed(raw, lines_up_to=78)
    assert message["From"] == "Readmit <readmit@example.org>"
    assert message["To"] == "admin@example.org"
    assert message["Subject"] == "RA-7K2M-9QXT-5: lost 2FA"
    assert message["Message-ID"] == "<RA-7K2M-9QXT-5.a-1@example.org>"
    assert message["Date"] == "Tue, 24 Nov 2026 01:43:05 +0000"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Id"] == "Readmit <readmit.example.org>"
    assert message["X-Readmit-Reference"] == "RA-7K2M-9QXT-5"
    assert message["MIME-Version"] == "1.0"
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content().strip() for part in message.iter_parts()] == ["Hello", "<p>Hello</p>"]
    assert raw.isascii()


BREAKS = [
    "\r\n",
    "\n",
    "\r",
    "\x00",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x1f",
    "\x7f",
    "\x85",
    "\u2028",
    "\u2029",
]


@pytest.mark.parametrize("character", BREAKS, ids=ascii)
@pytest.mark.parametrize("place", ["{}X-Evil: 1", "before{}X-Evil: 1", "before{} X-Evil: 1", "end{}"])
def test_control_characters_are_refused_in_every_header(character: str, place: str) -> None:
    evil = place.format(character)
    for changes in (
        {"subject": evil}, {"recipient_name": evil}, {"message_id": evil}, {"headers": {"X-Readmit-Reference": evil}},
        {"headers": {"List-Id": evil}}, {"recipient": f"a{evil}@example.org"}, {"recipient": f"a@example.org{evil}"},
        {"sender": f"Readmit{evil} <readmit@example.org>"}, {"headers": {f"X{evil}": "1"}},
        {"subject": "ü" + evil}, {"recipient": "ü@example.org", "subject": evil},
    ):  # fmt: skip
        with pytest.raises(UnsafeHeader) as caught:
            mail(**changes)
        assert "Evil" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "X Evil", "X-Evil:", "X-Evil: 1", "Ü", "X\tEvil", "1X", "-"])
def test_names_of_headers_are_names(name: str) -> None:
    with pytest.raises(UnsafeHeader):
        mail(headers={name: "1"})


ENCODED = [
    "=?utf-8?q?a=0D=0AX-Evil:_1?=", "=?utf-8?q?a=0AX-Evil:_1?=", "=?utf-8?b?YQ0KWC1FdmlsOiAx?=",
    "=?us-ascii?Q?=0D=0ABcc:x?=",
    "x =?utf-8?q?=0D=0A?= =?utf-8?q?X-Evil:_1?=", "=?utf-8?q?=00?=", "ü =?utf-8?q?a=0D=0AX-Evil:_1?=",
    "=?utf-8*en?q?=0A?=",
]  # fmt: skip


@pytest.mark.parametrize("value", ENCODED)
def test_encoded_words_do_not_come_out_as_headers(value: str) -> None:
    """CPython decodes them in values that it is given, and writes out the line breaks that were in them."""
    for recipient in ("admin@example.org", "ü@example.org"):
        for changes in (
            {"subject": value}, {"recipient_name": value}, {"headers": {"X-Readmit-Reference": value}},
            {"sender": f"{value} <readmit@example.org>"}, {"subject": value + "x" * 2000},
            {"subject": value * 20 + "ü"},
        ):  # fmt: skip
            message = assert_well_formed(mail(recipient=recipient, **changes))
            assert addresses(message, "To") == [recipient]
            assert addresses(message, "From") == ["readmit@example.org"]


@pytest.mark.parametrize("value", [ENCODED[0], ENCODED[2], ENCODED[3]])
def test_the_vulnerable_twin_is_caught_by_the_same_test(value: str) -> None:
    """The mistake written out, since not every version of the library makes it: decode, then write as it is."""
    decoded = str(make_header(decode_header(value)))
    twin = mail().replace(b"RA-7K2M-9QXT-5: lost 2FA", decoded.encode())
    with pytest.raises(AssertionError):
        assert_well_formed(twin)
    assert_well_formed(mail(subject=value))


NAMES = [
    'O"Brien', "Readmit, Inc", "a@evil.example", "<b@evil.example>", "x <b@evil.example>, y", "(comment)",
    "back\\slash", '"',
    "Jürgen Groß", 'Jürgen "Jo", Groß', "名前", "\u202eevil", "group: x;", "'", "a" * 256, "ü" * 256, "=?=?", "?=",
    "=", ".",
    "a  b", " a ", "Zoë <b@evil.example>", "\u00a0", "😀 😀",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("recipient", ["admin@example.org", "ü@example.org"])
def test_a_display_name_stays_a_name(name: str, recipient: str) -> None:
    message = assert_well_formed(mail(recipient_name=name, recipient=recipient))
    assert addresses(message, "To") == [recipient]


@pytest.mark.parametrize(
    "subject", ["x" * 5000, "ü" * 2000, "wort " * 1000, "ü " * 2000, "", " ", "a" * 77, "\u202e" * 90]
)
@pytest.mark.parametrize("recipient", ["admin@example.org", "ü@example.org"])
def test_long_subjects_are_folded(subject: str, recipient: str) -> None:
    message = assert_well_formed(mail(subject=subject, recipient=recipient))
    assert message["Subject"].replace(" ", "") == subject.replace(" ", "")


def test_long_ids_are_not_encoded() -> None:
    """A folded `List-Id` or `Message-ID` written as encoded words is another one."""
    message_id, list_id = f"<{'a' * 200}@example.org>", f"Readmit <{'b' * 60}.{'c' * 60}.example.org>"
    raw = mail(message_id=message_id, headers={"List-Id": list_id})
    assert f"\r\nMessage-ID: {message_id}\r\n".encode() in raw
    assert f"\r\nList-Id: {list_id}\r\n".encode() in raw


def test_smtputf8_only_where_there_is_no_other_way() -> None:
    assert mail(recipient="admin@bücher.example", recipient_name="Jürgen", subject="Größe").isascii()
    assert mail(sender="Größe <readmit@bücher.example>").isascii()
    assert read(mail(recipient="admin@bücher.example"))["To"] == "admin@xn--bcher-kva.example"
    assert not mail(recipient="ü@bücher.example").isascii()
    assert not mail(sender="ü@bücher.example").isascii()


@given(st.text(st.sampled_from("a.\r\n\x0b\x0c\x1c\x85\u2028ü =?-"), max_size=200), st.text(max_size=100))
def test_any_body_is_well_formed(text: str, subject: str) -> None:
    try:
        raw = mail(text=text, html=text, subject=subject, recipient_name=subject)
    except (UnsafeHeader, UnicodeEncodeError):
        return
    assert_well_formed(raw)


def test_a_bare_line_feed_or_a_lone_dot_in_the_text_stays_text() -> None:
    """CVE-2023-51764: what a server takes for the end of the message must not be in it."""
    text = "one\n.\ntwo\r.\rthree\r\n.\r\nMAIL FROM:<x@evil.example>\n" + "y" * 3000 + "\n"
    message = assert_well_formed(mail(text=text), lines_up_to=78)
    part = next(message.iter_parts())
    assert part.get_content().replace("\r\n", "\n") == text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize(
    ("header", "address"),
    [("Readmit <readmit@example.org>", "readmit@example.org"), ('"A, B" <a@x.org>', "a@x.org"), ("a@x.org", "a@x.org")],
)
def test_the_envelope_sender_is_the_bare_address(header: str, address: str) -> None:
    assert envelope_address(header) == address
    assert MailSettings(smtp_url="smtp://localhost", mail_from=header).mail_from == header
