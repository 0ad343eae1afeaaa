"""Taking messages apart again."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from html.parser import HTMLParser

_HIDDEN = {"style", "head", "title"}


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if text and not _HIDDEN & set(self._open):
            self.texts.append(text)


def parsed(html: str) -> _Texts:
    """The visible texts and the elements of a document."""
    parser = _Texts()
    parser.feed(html)
    parser.close()
    return parser


def read(message: bytes) -> EmailMessage:
    """The message as a mail program reads it."""
    result = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(result, EmailMessage)
    return result


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def html_of(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def facts_of(text: str) -> dict[str, str]:
    """`Label: value` lines by label."""
    return dict(line.split(": ", 1) for line in text.split("\n") if ": " in line)
