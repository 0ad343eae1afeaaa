"""Reading a stored message: parts, headers, and the shapes of Mailpit's API."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.utils import getaddresses, parsedate_to_datetime
from functools import cached_property
from typing import Any, cast

from deploy.demo.mailbox.store import StoredMessage

_SNIPPET_LENGTH = 250


class Mail:
    """A parsed view of a stored message that never raises, whatever was sent."""

    def __init__(self, stored: StoredMessage) -> None:
        self.stored = stored
        self._message = message_from_bytes(stored.raw, policy=policy.SMTPUTF8)

    def header(self, name: str) -> str:
        try:
            value = self._message.get(name)
        except Exception:  # the email package raises all sorts on broken headers
            value = next((raw for key, raw in self._message.raw_items() if key.lower() == name.lower()), "")
        return _one_line(str(value or ""))

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """Header fields as sent, unfolded but not decoded."""
        return [(name, _one_line(str(value))) for name, value in self._message.raw_items()]

    @cached_property
    def subject(self) -> str:
        return self.header("Subject")

    @cached_property
    def message_id(self) -> str:
        return self.header("Message-ID").strip("<> ")

    @cached_property
    def date(self) -> datetime:
        try:
            date = parsedate_to_datetime(self.header("Date"))
        except (TypeError, ValueError):
            return self.stored.received_at
        return date if date.tzinfo else date.replace(tzinfo=UTC)

    def addresses(self, name: str) -> list[dict[str, str]]:
        """The addresses of a header field, Mailpit's form."""
        pairs = getaddresses([self.header(name)])
        return [{"Name": display, "Address": address} for display, address in pairs if address]

    @cached_property
    def sender(self) -> dict[str, str]:
        found = self.addresses("From")
        return found[0] if found else {"Name": "", "Address": self.stored.sender}

    @cached_property
    def blind_recipients(self) -> list[dict[str, str]]:
        """Recipients of the envelope that no header names."""
        named = {item["Address"].lower() for header in ("To", "Cc") for item in self.addresses(header)}
        return [{"Name": "", "Address": address} for address in self.stored.recipients if address.lower() not in named]

    @cached_property
    def text(self) -> str:
        return self._body("plain")

    @cached_property
    def html(self) -> str:
        return self._body("html")

    def _body(self, subtype: str) -> str:
        for part in self._message.walk():
            if part.get_content_type() == f"text/{subtype}" and part.get_content_disposition() != "attachment":
                payload = cast("bytes", part.get_payload(decode=True) or b"")
                try:
                    return payload.decode(part.get_content_charset() or "utf-8", errors="replace")
                except LookupError:  # a charset that nobody knows
                    return payload.decode("utf-8", errors="replace")
        return ""

    @property
    def source(self) -> str:
        return self.stored.raw.decode("utf-8", errors="replace")

    def delivered_to(self, address: str) -> bool:
        """Whether the envelope, To or Cc contain the text, in any case."""
        wanted = address.lower()
        named = [item["Address"] for header in ("To", "Cc") for item in self.addresses(header)]
        return any(wanted in candidate.lower() for candidate in (*self.stored.recipients, *named))

    def summary(self) -> dict[str, Any]:
        """An item of `GET /api/v1/messages`."""
        return {
            "ID": self.stored.id,
            "MessageID": self.message_id,
            "Read": False,
            "From": self.sender,
            "To": self.addresses("To"),
            "Cc": self.addresses("Cc"),
            "Bcc": self.blind_recipients,
            "ReplyTo": self.addresses("Reply-To"),
            "Subject": self.subject,
            "Created": self.stored.received_at.isoformat(),
            "Tags": [],
            "Size": len(self.stored.raw),
            "Attachments": 0,
            "Snippet": " ".join(self.text.split())[:_SNIPPET_LENGTH],
        }

    def full(self) -> dict[str, Any]:
        """The answer of `GET /api/v1/message/{ID}`."""
        return {
            "ID": self.stored.id,
            "MessageID": self.message_id,
            "From": self.sender,
            "To": self.addresses("To"),
            "Cc": self.addresses("Cc"),
            "Bcc": self.blind_recipients,
            "ReplyTo": self.addresses("Reply-To"),
            "ReturnPath": self.stored.sender,
            "Subject": self.subject,
            "Date": self.date.isoformat(),
            "Text": self.text,
            "HTML": self.html,
            "Size": len(self.stored.raw),
            "Tags": [],
            "Inline": [],
            "Attachments": [],
        }


def _one_line(value: str) -> str:
    return " ".join(value.split())
