"""`ready.json`: the one file that says how to reach a running stack."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.secrets import write_private


@dataclass
class ReadyFile:
    """Written when everything is ready, kept up to date, removed on the way out."""

    path: Path
    _content: dict[str, Any] = field(default_factory=dict)

    def publish(self, content: Mapping[str, Any]) -> None:
        """Write it for the first time (mode 0600: it holds tokens and passwords)."""
        self._content = dict(content)
        self._write()

    def update_pids(self, pids: Mapping[str, int]) -> None:
        """After a restart; nothing happens before `publish`."""
        if self._content and self._content["pids"] != pids:
            self._content["pids"] = dict(pids)
            self._write()

    def remove(self) -> None:
        self._content = {}
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        write_private(self.path, json.dumps(self._content, indent=2) + "\n")


def for_people(content: Mapping[str, Any]) -> str:
    """The same as lines of text, without what opens doors: tokens, passwords, database addresses with theirs."""
    rows = [(f"{name}", url) for name, url in content["urls"].items()]
    rows += [(f"{name} (operations)", url) for name, url in content["ops_urls"].items() if name not in content["urls"]]
    rows += [("Kafka", content["kafka"]), ("SMTP", content["smtp"]), ("audit key", content["audit_key"])]
    rows += [("databases", ", ".join(content["databases"]) + " (addresses in the file)")]
    rows += [("processes", ", ".join(f"{name} {pid}" for name, pid in content["pids"].items()))]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)
