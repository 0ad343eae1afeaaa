"""A JSONL file of CloudEvents, read in batches that intake accepts, and how far it was sent."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from deploy.errors import CommandError
from deploy.local.secrets import write_private

MAX_EVENTS = 1000  # contract section 4
MAX_BYTES = 4 * 1024 * 1024
MAX_EVENT_BYTES = 32 * 1024


@dataclass(frozen=True)
class Batch:
    """Consecutive lines of the file: `lines` are their numbers, `end` is the offset in bytes behind the last."""

    events: tuple[bytes, ...]
    lines: tuple[int, ...]
    raw: bytes
    end: int

    @property
    def body(self) -> bytes:
        """The JSON array to post; each event as it stands in the file."""
        return b"[" + b",".join(self.events) + b"]"


@dataclass
class Progress:
    """What was accepted so far, kept beside the file until all of it was."""

    path: Path
    target: str
    offset: int = 0
    line: int = 0

    def __post_init__(self) -> None:
        self._digest = hashlib.sha256()

    def resume(self, file: BinaryIO) -> bool:
        """Take up where an interrupted run to the same target stopped; leaves `file` at that place.

        False when there is nothing to take up, or what was sent is no longer what the file begins with: then everything
        is sent again, which intake takes without a second effect.
        """
        try:
            state = json.loads(self.path.read_text())
            offset, line, digest, target = int(state["offset"]), int(state["line"]), state["sha256"], state["target"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        sent = hashlib.sha256()
        for chunk in _chunks(file, offset):
            sent.update(chunk)
        if target == self.target and sent.hexdigest() == digest and file.tell() == offset:
            self.offset, self.line, self._digest = offset, line, sent
            return True
        file.seek(0)
        return False

    def advance(self, batch: Batch) -> None:
        """Remember that a batch was accepted."""
        self._digest.update(batch.raw)
        self.offset, self.line = batch.end, batch.lines[-1] if batch.lines else self.line
        state = {"target": self.target, "offset": self.offset, "line": self.line, "sha256": self._digest.hexdigest()}
        try:
            write_private(self.path, json.dumps(state))
        except OSError as error:
            raise CommandError(
                f"cannot keep the state in {self.path}: {error}. Name another place with --state"
            ) from error

    def finish(self) -> None:
        """All was accepted: nothing to resume."""
        self.path.unlink(missing_ok=True)


def batches(file: BinaryIO, *, offset: int, line: int) -> Iterator[Batch]:
    """Read on from where `file` stands; blank lines are passed over.

    Raises:
        CommandError: a line that is no JSON object or larger than one event may be; what precedes it was yielded.
    """
    events: list[bytes] = []
    numbers: list[int] = []
    raw: list[bytes] = []
    size, end = 2, offset
    for number, whole in enumerate(file, start=line + 1):
        try:
            event = _event(whole, number)
        except CommandError:
            if events:
                yield Batch(tuple(events), tuple(numbers), b"".join(raw), end)
            raise
        if event and events and (len(events) == MAX_EVENTS or size + len(event) + 1 > MAX_BYTES):
            yield Batch(tuple(events), tuple(numbers), b"".join(raw), end)
            events, numbers, raw, size = [], [], [], 2
        if event:
            events.append(event)
            numbers.append(number)
            size += len(event) + 1
        raw.append(whole)
        end += len(whole)
    if events:
        yield Batch(tuple(events), tuple(numbers), b"".join(raw), end)


def _event(line: bytes, number: int) -> bytes:
    event = line.strip().removeprefix(b"\xef\xbb\xbf")
    if not event:
        return b""
    if len(event) > MAX_EVENT_BYTES:
        raise CommandError(f"line {number}: {len(event)} bytes; an event may have {MAX_EVENT_BYTES}")
    try:
        value = json.loads(event)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"line {number}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CommandError(f"line {number}: not a JSON object")
    return event


def _chunks(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (chunk := file.read(min(length, 1 << 20))):
        length -= len(chunk)
        yield chunk
