import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.commands.event_file import MAX_BYTES, MAX_EVENT_BYTES, MAX_EVENTS, Batch, Progress, batches
from deploy.errors import CommandError


def read(content: bytes, offset: int = 0, line: int = 0) -> list[Batch]:
    file = io.BytesIO(content)
    file.seek(offset)
    return list(batches(file, offset=offset, line=line))


def an_event(number: int, size: int = 0) -> bytes:
    return json.dumps({"id": str(number), "padding": "x" * size}).encode() + b"\n"


def test_a_batch_holds_a_thousand_events_at_most() -> None:
    found = read(b"".join(an_event(number) for number in range(2500)))
    assert [len(batch.events) for batch in found] == [MAX_EVENTS, MAX_EVENTS, 500]
    assert found[1].lines[0] == 1001
    assert [event["id"] for batch in found for event in json.loads(batch.body)] == [str(n) for n in range(2500)]


def test_a_batch_holds_four_mebibytes_at_most() -> None:
    found = read(b"".join(an_event(number, 30_000) for number in range(300)))
    assert len(found) > 1
    assert all(len(batch.body) <= MAX_BYTES for batch in found)
    assert sum(len(batch.events) for batch in found) == 300


@given(st.lists(st.sampled_from([b"\n", b'{"id": "a"}\n', b'  {"id": "b"} \r\n', b"\r\n"]), max_size=40), st.booleans())
def test_batches_cover_every_byte_and_every_event(lines: list[bytes], final_newline: bool) -> None:
    content = b"".join(lines)
    if not final_newline:
        content = content.rstrip(b"\n")
    found = read(content)
    covered = b"".join(batch.raw for batch in found)
    assert content.startswith(covered)
    assert not content[len(covered) :].strip()
    assert sum(len(batch.events) for batch in found) == content.count(b"{")
    assert all(content.splitlines()[n - 1].strip() for batch in found for n in batch.lines)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{broken\n", "line 3: not JSON"),
        (b"[]\n", "line 3: not a JSON object"),
        (b'"text"\n', "line 3: not a JSON object"),
        (b"\xff\xfe\n", "line 3: not JSON"),
        (b"[" * 100_000 + b"\n", "line 3"),
        (an_event(1, MAX_EVENT_BYTES), "line 3: "),
    ],
)
def test_a_bad_line_is_named_after_what_precedes_it_was_sent(line: bytes, said: str) -> None:
    reading = batches(io.BytesIO(an_event(1) + an_event(2) + line + an_event(4)), offset=0, line=0)
    assert len(next(reading).events) == 2
    with pytest.raises(CommandError, match=said):
        next(reading)


def test_an_interrupted_import_is_resumed_behind_what_was_accepted(tmp_path: Path) -> None:
    content = b"".join(an_event(number) for number in range(2500))
    progress = Progress(tmp_path / "state", target="http://intake")
    progress.advance(read(content)[0])
    assert progress.path.stat().st_mode & 0o777 == 0o600

    resumed = Progress(tmp_path / "state", target="http://intake")
    file = io.BytesIO(content)
    assert resumed.resume(file)
    rest = list(batches(file, offset=resumed.offset, line=resumed.line))
    assert rest[0].lines[0] == 1001
    for batch in rest:
        resumed.advance(batch)
    assert resumed.offset == len(content)
    resumed.finish()
    assert not Progress(tmp_path / "state", target="http://intake").resume(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "target"),
    [
        (b"".join(an_event(number) for number in range(1, 2501)), "http://intake"),  # another file under the name
        (an_event(0), "http://intake"),  # a shorter one
        (b"".join(an_event(number) for number in range(2500)), "http://other"),
    ],
)
def test_a_state_of_something_else_is_not_resumed(tmp_path: Path, content: bytes, target: str) -> None:
    progress = Progress(tmp_path / "state", target="http://intake")
    progress.advance(read(b"".join(an_event(number) for number in range(2500)))[0])
    other, file = Progress(tmp_path / "state", target=target), io.BytesIO(content)
    assert not other.resume(file)
    assert (other.offset, other.line, file.tell()) == (0, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"offset": "x", "line": 0, "sha256": "", "target": "http://intake"}']
)
def test_a_broken_state_is_not_resumed(tmp_path: Path, text: str) -> None:
    (tmp_path / "state").write_text(text)
    assert not Progress(tmp_path / "state", target="http://intake").resume(io.BytesIO(b"{}\n"))
