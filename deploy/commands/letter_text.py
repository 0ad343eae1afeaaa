"""Dead letters for a terminal. They hold what strangers sent: nothing of it may command the terminal, or hide."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from shared.kit.messaging.dead_letter_store import Action, Letter
from shared.kit.messaging.dead_letters import Original
from shared.schemas import strict_json

SHOWN_BYTES = 16_384  # of a value; all of them with --raw
COLUMNS = ("ID", "PARKED AT", "TOPIC", "GROUP", "AT", "SIZE", "STATE", "REASON")


def safe(text: str) -> str:
    """The text with everything escaped that is not printable: control and bidi characters, lone surrogates."""
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}"


def row(name: str, letter: Letter) -> tuple[str, ...]:
    """A line of the list."""
    return (
        name,
        f"{letter.parked_at:%Y-%m-%d %H:%M:%S}",
        safe(letter.topic),
        safe(letter.consumer_group),
        f"{letter.partition}/{letter.offset}",
        "none" if letter.size is None else str(letter.size),
        letter.state.value + (f" ({letter.replays} failed)" if letter.replays else ""),
        safe(f"{letter.kind}: {letter.reason}"),
    )


def table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Lines with aligned columns; the last one is as long as it is."""
    widths = [max(len(line[column]) for line in rows) for column in range(len(COLUMNS) - 1)]
    for line in rows:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]])


def details(name: str, letter: Letter, record: Original, actions: Sequence[Action]) -> Iterator[str]:
    """All there is to say about a letter, its value last."""
    yield f"id         {name}"
    yield f"parked at  {letter.parked_at.isoformat()}"
    yield f"group      {safe(letter.consumer_group)}"
    yield f"topic      {safe(letter.topic)}, partition {letter.partition}, offset {letter.offset}"
    yield f"reason     {safe(f'{letter.kind}: {letter.reason}')}"
    yield f"state      {letter.state.value}"
    for action in actions:
        because = f", because {safe(action.because)}" if action.because else ""
        detail = f" ({safe(action.detail)})" if action.detail else ""
        outcome = f"{action.outcome or 'waits for its service'}{detail}"
        yield f"           {action.asked_at.isoformat()} {action.action} by {safe(action.by)}{because}: {outcome}"
    yield f"key        {_bytes(record.key)}"
    for header, content in record.headers:
        yield f"header     {safe(header)}: {_bytes(content)}"
    if record.value is None:
        yield "value      none"
        return
    yield f"value      {len(record.value)} bytes"
    yield ""
    yield from value_lines(record.value)


def value_lines(value: bytes) -> Iterator[str]:
    """A value: indented where it is JSON that everybody reads alike, else a hex dump."""
    document = _as_json(value)
    if document is None:
        yield from _hex_dump(value[:SHOWN_BYTES])
        if len(value) > SHOWN_BYTES:
            yield f"… {len(value) - SHOWN_BYTES} more bytes: --raw"
        return
    for line in document.split("\n"):
        yield safe(line)


def _as_json(value: bytes) -> str | None:
    if len(value) > SHOWN_BYTES:
        return None
    try:
        document = strict_json.load(value)
        strict_json.check(document)
    except strict_json.NotStrictJson:
        return None
    return json.dumps(document, indent=2, ensure_ascii=False)


def _bytes(content: bytes | None) -> str:
    if content is None:
        return "none"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\x00"
    shown = text if text.isprintable() else f"hex {content[:256].hex(' ')}"
    return shown if len(shown) <= 1024 else shown[:1024] + "…"


def _hex_dump(content: bytes) -> Iterator[str]:
    for start in range(0, len(content), 16):
        part = content[start : start + 16]
        plain = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        yield f"{start:08x}  {part[:8].hex(' '):<23}  {part[8:].hex(' '):<23}  |{plain}|"
