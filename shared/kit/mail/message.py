"""Messages as bytes: multipart/alternative, headers that nothing can break out of, CRLF only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.charset import QP, Charset
from email.headerregistry import Address
from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP, SMTPUTF8, compat32
from email.utils import format_datetime, parseaddr

from shared.kit.addresses import wire_address

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_LONGEST = 990  # octets of a line; RFC 5322, section 2.1.1 allows 998
_LONGEST_NAME = 128  # characters; the library doesn't break a long word
# The library decodes encoded words in values and writes out the line breaks that it finds in them (CVE-2024-6923's
# cousin): `=?utf-8?q?a=0D=0ABcc:x?=` becomes a header.
_NO_ENCODED_WORD = ("=?", "= ?")

_UTF_8 = Charset("utf-8")
_UTF_8.body_encoding = QP
# The library's old way with messages, for the content: its headers never change, and the new way parses each of them
# anew, which is most of what a message costs.
_CRLF = compat32.clone(linesep="\r\n")


class UnsafeHeader(ValueError):
    """A header value holds a character that could end the header; names the header, not the value."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to one recipient."""

    sender: str
    recipient: str
    subject: str
    text: str
    html: str
    message_id: str
    date: datetime
    recipient_name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def compose(mail: Mail) -> bytes:
    """The message as it goes over the wire (RFC 5322), dot-stuffing left to the SMTP client.

    Raises:
        UnsafeHeader: as `compose_head`.
    """
    return compose_head(mail) + compose_content(mail.text, mail.html)


def compose_content(text: str, html: str) -> bytes:
    """A `multipart/alternative` (RFC 2046, section 5.1.4): the header fields that describe it, and its parts."""
    whole = MIMEMultipart("alternative", policy=_CRLF)
    for subtype, part in (("plain", text), ("html", html)):
        lines = part.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n") + "\n"
        whole.attach(MIMEText(lines, subtype, _UTF_8, policy=_CRLF))  # type: ignore[arg-type]
    return whole.as_bytes()


def compose_head(mail: Mail) -> bytes:
    """The header fields but those that describe the content.

    Raises:
        UnsafeHeader: a header value holds control characters. Checked here and not left to the library, some versions
            of which write them through (CVE-2024-6923).
    """
    headers = {
        "Subject": mail.subject,
        "Message-ID": mail.message_id,
        "Auto-Submitted": "auto-generated",  # RFC 3834, section 5
        "X-Auto-Response-Suppress": "All",
        **mail.headers,
    }
    for name, value in [*headers.items(), ("To", mail.recipient + mail.recipient_name), ("From", mail.sender)]:
        if _CONTROL.search(value) or not _NAME.fullmatch(name):
            raise UnsafeHeader(name if _NAME.fullmatch(name) else "name of a header")
    recipient, sender = wire_address(mail.recipient), wire_address(envelope_address(mail.sender))
    policy = SMTP if recipient.isascii() and sender.isascii() else SMTPUTF8
    message = EmailMessage(policy=policy.clone(max_line_length=78))
    message["From"] = _address(parseaddr(mail.sender)[0], sender)
    message["To"] = _address(mail.recipient_name, recipient)
    message["Date"] = format_datetime(mail.date)
    headers = {name: value.replace(*_NO_ENCODED_WORD) for name, value in headers.items()}
    plain = {name: value for name, value in headers.items() if value.isascii() and len(name) + len(value) < _LONGEST}
    for name in headers.keys() - plain.keys():
        message[name] = headers[name]
    # ASCII needs no library, whose folding writes a long `List-Id` as encoded words, which nobody decodes there.
    return (
        b"".join(f"{name}: {value}\r\n".encode() for name, value in plain.items()) + message.as_bytes()[: -len(b"\r\n")]
    )


def _address(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    name = name.replace(*_NO_ENCODED_WORD)[:_LONGEST_NAME]
    return Address(display_name=name, username=local, domain=domain)


def envelope_address(header: str) -> str:
    """The bare address in a `From` setting such as `Readmit <readmit@example.org>`."""
    return parseaddr(header)[1]
