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

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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
        if _CONTROL.search(value):
            raise UnsafeHeader(name)
    policy = SMTP if mail.recipient.isascii() else SMTPUTF8
    message = EmailMessage(policy=policy.clone(max_line_length=78))
    message["From"] = mail.sender
    message["To"] = _address(mail.recipient_name, mail.recipient)
    message["Date"] = format_datetime(mail.date)
    for name, value in headers.items():
        message[name] = value
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    return message.as_bytes()


def _address(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    return Address(display_name=name, username=local, domain=domain)


def envelope_address(header: str) -> str:
    """The bare address in a `From` setting such as `Readmit <readmit@example.org>`."""
    return parseaddr(header)[1]
