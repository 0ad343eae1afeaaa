"""The test's own list of what was answered 202: on disk before anything else happens, as a client would keep it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """JSON lines, each fsynced when `write` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)

    def write(self, kind: str, **facts: Any) -> None:
        self._file.write(json.dumps({"kind": kind, **facts}).encode() + b"\n")
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The lines, as a check reads them afterwards: from the disk, not from the memory of who wrote them."""
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)
