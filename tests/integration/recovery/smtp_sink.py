"""A small SMTP server that keeps what it is given, and refuses when it is told to."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.engines import free_port

CODE = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{5}\b")
TOKEN = re.compile(r"/r#([A-Za-z0-9_-]{43})\b")


@dataclass(frozen=True)
class Received:
    recipient: str
    message: EmailMessage
    raw: bytes

    def part(self, subtype: str) -> str:
        part = self.message.get_body((subtype,))
        assert part is not None
        content: str = part.get_content()
        return content

    @property
    def text(self) -> str:
        return self.part("plain")


@dataclass
class Sink:
    port: int = 0
    mails: list[Received] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """What the next messages are answered, one each; then they are taken."""

    def to(self, recipient: str, pattern: re.Pattern[str] | None = None) -> list[Received]:
        found = [mail for mail in self.mails if mail.recipient == recipient]
        return [mail for mail in found if pattern.search(mail.text)] if pattern else found

    def codes(self, recipient: str) -> list[str]:
        return [CODE.findall(mail.text)[0] for mail in self.to(recipient, CODE)]

    def tokens(self, recipient: str) -> list[str]:
        return [TOKEN.findall(mail.text)[0] for mail in self.to(recipient, TOKEN)]

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        # Only what carries a code or link is refused: the notices go on meanwhile.
        received = Received(envelope.rcpt_tos[0], message, envelope.content)
        secret = CODE.search(received.text) or TOKEN.search(received.text)
        if secret and self.answers:
            answer = self.answers.pop(0)
            if answer.startswith("taken"):  # and the answer lost
                self.mails.append(received)
                return "451 4.3.0 lost"
            if answer == "echo":  # as a filter does that quotes what it objects to
                return f"550 5.7.1 objects to {secret[0]}"
            return answer
        self.mails.append(received)
        return "250 2.0.0 OK"


@contextmanager
def smtp_sink() -> Iterator[Sink]:
    sink = Sink()
    sink.port = free_port()
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port, enable_SMTPUTF8=True)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()
