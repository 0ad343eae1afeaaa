"""Messages as bytes: multipart/alternative, headers that nothing can break out of, CRLF only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr

from shared.kit.addresses import wire_address

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_LONGEST = 990  # octets of a line; RFC 5322, section 2.1.1 allows 998
_LONGEST_NAME = 128  # characters; the library doesn't break a long word
# The library decodes encoded words in values and writes out the line breaks that it finds in them (CVE-2024-6923's
# cousin): `=?utf-8?q?a=0D=0ABcc:x?=` becomes a header.
_NO_ENCODED_WORD = ("=?", "= ?")


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
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    # ASCII needs no library, whose folding writes a long `List-Id` as encoded words, which nobody decodes there.
    return b"".join(f"{name}: {value}\r\n".encode() for name, value in plain.items()) + message.as_bytes()


def _address(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    name = name.replace(*_NO_ENCODED_WORD)[:_LONGEST_NAME]
    return Address(display_name=name, username=local, domain=domain)


def envelope_address(header: str) -> str:
    """The bare address in a `From` setting such as `Readmit <readmit@example.org>`."""
    return parseaddr(header)[1]
