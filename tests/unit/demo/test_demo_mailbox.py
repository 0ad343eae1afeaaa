"""Reading messages: whatever is sent, the mailbox shows it and stays what it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deploy.demo.mailbox.app import parse_query
from deploy.demo.mailbox.linkify import linkify
from deploy.demo.mailbox.message import Mail
from deploy.demo.mailbox.store import StoredMessage


def a_mail(raw: bytes, *recipients: str) -> Mail:
    received = datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)
    return Mail(StoredMessage("1", received, "bounce@example.org", recipients or ("to@example.org",), raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"no headers at all",
        b"Subject: =?utf-8?q?=ff=fe?=\r\n\r\nx",
        b'Subject: =?nonsense?x?y?=\r\nFrom: <<>>,,;:\r\nTo: "\r\nDate: yesterday\r\n\r\nx',
        b"Content-Type: text/html; charset=klingon\r\n\r\n<p>\xff",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
        b"From: \xff\xfe@example.org\r\nSubject: \x00\x01\r\n\r\n\x00",
        b"To: group: a@example.org, b@example.org;\r\n\r\n",
    ],
)
def test_nothing_breaks_it(raw: bytes) -> None:
    mail = a_mail(raw)
    assert mail.full()["ID"] == mail.summary()["ID"] == "1"
    assert isinstance(mail.source, str)
    assert mail.headers is not None


def test_parts_and_headers() -> None:
    mail = a_mail(
        b"From: Readmit <readmit@example.org>\r\nTo: Amelia <amelia@example.org>\r\n"
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
        b"Message-ID: <1@example.org>\r\nDate: Tue, 24 Nov 2026 01:43:00 +0000\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ntext \xc3\xa4\r\n"
        b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>html</p>\r\n--b--\r\n",
        "amelia@example.org",
        "hidden@example.org",
    )
    full = mail.full()
    assert full["From"] == {"Name": "Readmit", "Address": "readmit@example.org"}
    assert full["To"] == [{"Name": "Amelia", "Address": "amelia@example.org"}]
    assert full["Bcc"] == [{"Name": "", "Address": "hidden@example.org"}]
    assert full["Subject"] == "Grüße"
    assert full["MessageID"] == "1@example.org"
    assert full["Date"] == "2026-11-24T01:43:00+00:00"
    assert full["Text"].strip() == "text ä"
    assert full["HTML"].strip() == "<p>html</p>"


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("to:amelia@example.org", True),
        ("to:AMELIA@EXAMPLE.ORG", True),
        ("to:other@example.org", False),
        ('subject:"two words"', True),
        ("subject:nothing", False),
        ("from:readmit to:amelia", True),
        ("to:hidden@example.org", True),
        ("message-id:<1@example.org>", True),
        ("body", True),
        ("absent", False),
        ('"unclosed', False),
        ("", True),
    ],
)
def test_search(query: str, matches: bool) -> None:
    mail = a_mail(
        b"From: readmit@example.org\r\nTo: amelia@example.org\r\n"
        b"Subject: Two words\r\nMessage-ID: <1@example.org>\r\n\r\nbody\r\n",
        "amelia@example.org",
        "hidden@example.org",
    )
    assert parse_query(query)(mail) is matches


def test_links_are_made_of_http_addresses_only() -> None:
    token = "A" * 43
    html = str(linkify(f"Open http://127.0.0.1:8104/r#{token}. Or javascript:alert(1) <b>"))
    assert f'<a href="http://127.0.0.1:8104/r#{token}" target="_blank" rel="noopener noreferrer">' in html
    assert html.count("<a ") == 1
    assert "&lt;b&gt;" in html


def test_a_link_cannot_leave_its_attribute() -> None:
    html = str(linkify('http://a.example/"onmouseover="alert(1) http://b.example/<script>'))
    assert '"onmouseover' not in html.replace("&#34;", "")
    assert "<script" not in html
