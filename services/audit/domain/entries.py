"""The entry of a record: the bytes that the log is a tree of."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.audit.domain.canonical import NotRecordable, encode_entry
from services.audit.domain.messages import Facts, Message
from services.audit.domain.sealing import Sealed

VERSION = 1
ALGORITHM = "A256GCM"
LONGEST_SEALED = 32_768  # bytes of ciphertext that stand in the entry; more stands beside it


@dataclass(frozen=True, slots=True)
class Link:
    """Where a record stands in the chain of its reference: its number there, and the leaf hash before it."""

    index: int
    previous: bytes | None


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC, always to the microsecond: one moment, one text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def context_of(facts: Facts) -> bytes:
    """What a sealed message is tied to."""
    return f"{facts.source}\n{facts.event_id}\n{facts.type}".encode()


def build_entry(
    facts: Facts,
    message: Message,
    *,
    incarnation: int,
    recorded_at: datetime,
    link: Link | None,
    sealed: Sealed,
    keys: tuple[str, ...],
) -> tuple[bytes, dict[bytes, bytes]]:
    """The entry's bytes, and what is kept beside it, by SHA-256. Raises NotRecordable."""
    beside: dict[bytes, bytes] = {}
    seal = {
        "alg": ALGORITHM,
        "keys": list(keys),
        "nonce": base64_text(sealed.nonce),
        "commitment": base64_text(sealed.commitment),
        "hash": base64_text(sealed.plaintext_hmac),
    }
    if len(sealed.ciphertext) <= LONGEST_SEALED:
        seal["ciphertext"] = base64_text(sealed.ciphertext)
    else:
        digest = hashlib.sha256(sealed.ciphertext).digest()
        beside[digest] = sealed.ciphertext
        seal["beside"] = base64_text(digest)
    entry: dict[str, Any] = {
        "v": VERSION,
        "event_id": facts.event_id,
        "type": facts.type,
        "occurred_at": time_text(facts.occurred_at),
        "recorded_at": time_text(recorded_at),
        "source": {
            "uri": facts.source,
            "service": facts.service,
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "incarnation": incarnation,
        },
        "reference_id": facts.reference_id,
        "actor": facts.actor,
        "on_behalf_of": facts.on_behalf_of,
        "subject": facts.subject,
        "outcome": facts.outcome,
        "reason": facts.reason,
        "data": facts.clear,
        "sealed": seal,
    }
    if link is not None:
        entry["chain"] = {"index": link.index, "previous": base64_text(link.previous) if link.previous else None}
    entry = {name: value for name, value in entry.items() if value is not None}
    try:
        return encode_entry(entry), beside
    except NotRecordable:
        # All of it is in the sealed message; what no entry can hold need not be in the clear as well.
        return encode_entry(entry | {"data": {}}), beside


def read_seal(entry: dict[str, Any], beside: bytes | None) -> tuple[Sealed, bytes]:
    """What was sealed, and the context it is tied to. `beside`: what was kept beside the entry, if anything."""
    seal = entry["sealed"]
    ciphertext = base64.b64decode(seal["ciphertext"]) if "ciphertext" in seal else (beside or b"")
    context = f"{entry['source']['uri']}\n{entry['event_id']}\n{entry['type']}".encode()
    nonce, commitment, plaintext_hmac = (base64.b64decode(seal[name]) for name in ("nonce", "commitment", "hash"))
    return Sealed(nonce, commitment, plaintext_hmac, ciphertext), context


def decode_entry(entry: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(entry)
    return value
