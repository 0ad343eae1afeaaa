"""The SMTP server of the fault test: keeps what the checks need of each message, and whole messages to people only."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.stack import Mailbox, Received

_HEADER = re.compile(rb"^(Message-ID|X-Readmit-Reference):[ \t]*([^\r\n]+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mail:
    """One message that the server took."""

    at: float  # time.monotonic()
    message_id: str
    reference: str | None  # of the request that an administrator is told of
    recipients: tuple[str, ...]


def mail_of(raw: bytes, recipients: list[str], at: float) -> Mail:
    head = raw.partition(b"\r\n\r\n")[0]
    headers = {name.lower(): value.decode().strip() for name, value in _HEADER.findall(head)}
    return Mail(at, headers.get(b"message-id", ""), headers.get(b"x-readmit-reference"), tuple(recipients))


class SparingMailbox(Mailbox):
    """Tens of thousands of notifications of 15 KB each would be this process's memory."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Mail] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        raw = envelope.original_content or b""
        mail = mail_of(raw, envelope.rcpt_tos, time.monotonic())
        self.mails.append(mail)
        if mail.reference is None:
            self.messages.append(Received(mail.at, envelope.mail_from or "", list(envelope.rcpt_tos), raw))
        return "250 OK"
