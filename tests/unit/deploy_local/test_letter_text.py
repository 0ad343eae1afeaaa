"""What strangers sent is shown on a terminal: none of it may command the terminal, or hide."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from deploy.commands.letter_text import SHOWN_BYTES, details, row, safe, table, value_lines
from shared.kit.messaging.dead_letter_store import Action, Letter, State
from shared.kit.messaging.dead_letters import Original

_text = st.text(st.characters(codec=None), max_size=30)
_bytes = st.none() | st.binary(max_size=40) | _text.map(lambda text: text.encode("utf-8", "surrogatepass"))
NOW = datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)


def letter(topic: str = "t", reason: str = "r", size: int | None = 3) -> Letter:
    return Letter(7, NOW, "notifier.events", topic, 0, 41, size, "malformed", reason, State.PARKED, 0, None)


@given(_text, _text, _bytes, _bytes, st.lists(st.tuples(_text, _bytes), max_size=3), _text)
def test_nothing_unprintable_reaches_the_terminal(
    topic: str,
    reason: str,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
    because: str,
) -> None:
    record = Original(topic, 0, 41, 0, key, value, headers)
    action = Action("drop", because, because, NOW, "dropped", because, NOW)
    lines = [*details("notifier-7", letter(topic, reason), record, [action]), *table([row("x", letter(topic, reason))])]
    assert all(line.isprintable() for line in lines)
    "\n".join(lines).encode("utf-8")


def test_terminal_commands_and_direction_overrides_are_spelled_out() -> None:
    assert safe("a\x1b[2Jb\u202e\ud800\x9b") == r"a\u001b[2Jb\u202e\ud800\u009b"


def test_json_is_shown_as_it_is_read_and_anything_else_in_hex() -> None:
    assert list(value_lines('{"b":1,"a":"\u202eü\\u001b"}'.encode())) == [
        "{",
        '  "b": 1,',
        '  "a": "\\u202eü\\u001b"',
        "}",
    ]
    # Two readers would see two documents: the bytes say which.
    (line,) = value_lines(b'{"a":1,"a":2}')
    assert line == '00000000  7b 22 61 22 3a 31 2c 22  61 22 3a 32 7d           |{"a":1,"a":2}|'
    assert next(iter(value_lines(b"[" * 10_000))).startswith("00000000  5b 5b")


def test_of_a_large_value_the_beginning_is_shown_and_how_to_get_the_rest() -> None:
    lines = list(value_lines(b"x" * (SHOWN_BYTES + 5)))
    assert len(lines) == SHOWN_BYTES // 16 + 1
    assert lines[-1] == "… 5 more bytes: --raw"


def test_columns_are_aligned() -> None:
    lines = list(table([row("notifier-7", letter()), row("recovery-123", letter("a-longer-topic", size=None))]))
    assert lines[0].index("notifier.events") == lines[1].index("notifier.events")
    assert "none" in lines[1]
