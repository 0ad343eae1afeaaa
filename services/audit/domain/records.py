"""A record as it is answered: the entry's members, and what people's keys still open."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from services.audit.domain.entries import base64_text, decode_entry, read_seal
from services.audit.domain.messages import COMMON, CONFLICT, UNPARSED
from services.audit.domain.sealing import unseal

LARGEST_RAW = 32_768  # bytes of an unparsed message that its record shows; `/v1/records/{index}/raw` has all


class Opened:
    """A stored record, its entry decoded, and its message as far as it can be read."""

    def __init__(self, index: int, leaf_hash: bytes, entry: bytes) -> None:
        self.index = index
        self.leaf_hash = leaf_hash
        self.entry = decode_entry(entry)
        self.message: bytes | None = None
        """The message byte for byte; None once a person's key is gone."""

    @property
    def key_ids(self) -> list[str]:
        keys: list[str] = self.entry["sealed"]["keys"]
        return keys

    @property
    def beside(self) -> bytes | None:
        """The hash of what is kept beside the entry."""
        encoded = self.entry["sealed"].get("beside")
        return base64.b64decode(encoded) if encoded is not None else None

    def open(self, keys: Mapping[str, bytes], beside: Mapping[bytes, bytes]) -> None:
        """Reads the message with the keys that are left.

        Raises:
            CannotOpen: there are keys and they don't fit: something was changed.
        """
        if all(key_id in keys for key_id in self.key_ids):
            sealed, context = read_seal(self.entry, beside.get(self.beside) if self.beside else None)
            self.message = unseal(sealed, [keys[key_id] for key_id in self.key_ids], context)

    @property
    def readable(self) -> bool:
        return self.message is not None

    def data(self) -> Any:
        """The event's `data`: as it was sent while it can be read, what names nobody for ever."""
        clear = {name: self.entry[name] for name in COMMON if name in self.entry} | self.entry["data"]
        if self.message is None:
            return clear
        if self.entry["type"] == UNPARSED:
            return clear | ({"raw": base64_text(self.message)} if len(self.message) <= LARGEST_RAW else {})
        sent = json.loads(self.message).get("data")
        return clear | {"data": sent} if self.entry["type"] == CONFLICT else sent

    def answer(self) -> dict[str, Any]:
        """The members of contract section 8."""
        entry, source = self.entry, self.entry["source"]
        return {
            "index": self.index,
            "leaf_hash": base64_text(self.leaf_hash),
            "event_id": entry["event_id"],
            "type": entry["type"],
            "occurred_at": entry["occurred_at"],
            "recorded_at": entry["recorded_at"],
            "service": source["service"],
            "topic": source["topic"],
            "partition": source["partition"],
            "offset": source["offset"],
            "reference_id": entry.get("reference_id"),
            "actor": entry.get("actor"),
            "on_behalf_of": entry.get("on_behalf_of"),
            "subject": entry.get("subject"),
            "outcome": entry.get("outcome"),
            "reason": entry.get("reason"),
            "data": self.data(),
            "personal_data": "readable" if self.readable else "erased",
        }
