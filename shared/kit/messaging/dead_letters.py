"""Dead letters: what could not be processed, kept byte for byte in `<topic>.<group>.dlt`.

They go through the ledger and the outbox like everything else, so parking is durable before the offset moves on.
"""

from __future__ import annotations

import base64
import hashlib
import json

from shared.kit.clock import utc_now
from shared.kit.db.unit import Publication, UnitOfWork
from shared.kit.messaging.consumer import Record
from shared.schemas.topics import dead_letter_topic

SOURCE = "/readmit/dead-letters"
TYPE = "readmit.dead-letter.v1"


def _printable(text: str) -> str:
    """The text without what JSONB or a header refuses: a reason must not be why a record can't be parked."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def park(unit: UnitOfWork, record: Record, *, group: str, reason: str) -> None:
    """Stages a record for its dead letter topic, with where it came from and why in the headers.

    The original key and headers are kept as base64 and JSON, since they may hold any bytes.
    """
    value = record.value if record.value is not None else b""
    digest = hashlib.sha256(value).hexdigest()
    headers = {
        "readmit-dead-letter-topic": record.topic,
        "readmit-dead-letter-partition": str(record.partition),
        "readmit-dead-letter-offset": str(record.offset),
        "readmit-dead-letter-group": group,
        "readmit-dead-letter-reason": _printable(reason)[:500],
        "readmit-dead-letter-key": base64.b64encode(record.key or b"").decode(),
        "readmit-dead-letter-headers": json.dumps(
            [[name, base64.b64encode(content or b"").decode()] for name, content in record.headers]
        ),
    }
    unit.publish_raw(
        Publication(
            source=SOURCE,
            event_id=f"{group}/{record.topic}/{record.partition}/{record.offset}/{digest[:16]}",
            type=TYPE,
            subject=None,
            topic=dead_letter_topic(record.topic, group),
            key=digest[:32],
            value=value,
            time=utc_now(),
            headers=json.dumps(headers),
        )
    )
