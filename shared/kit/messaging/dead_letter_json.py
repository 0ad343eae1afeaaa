"""Dead letters for programs: JSON, all bytes in base64."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from shared.kit.messaging.dead_letter_store import Action, Letter
from shared.kit.messaging.dead_letters import Original


def members(name: str, letter: Letter) -> dict[str, Any]:
    """What the list says of a letter."""
    return {
        "id": name,
        "parked_at": letter.parked_at.isoformat(),
        "topic": letter.topic,
        "group": letter.consumer_group,
        "partition": letter.partition,
        "offset": letter.offset,
        "size": letter.size,
        "kind": letter.kind,
        "reason": letter.reason,
        "state": letter.state.value,
        "failed_replays": letter.replays,
        "settled_at": letter.settled_at.isoformat() if letter.settled_at else None,
    }


def contents(record: Original) -> dict[str, Any]:
    """The record as it was; what was null is null."""

    def encoded(content: bytes | None) -> str | None:
        return None if content is None else base64.b64encode(content).decode()

    return {
        "key_base64": encoded(record.key),
        "value_base64": encoded(record.value),
        "headers": [
            {"name_base64": encoded(name.encode("utf-8", "surrogateescape")), "value_base64": encoded(content)}
            for name, content in record.headers
        ],
        "timestamp": record.timestamp,
    }


def told(actions: Sequence[Action]) -> list[dict[str, Any]]:
    """What people did about a letter."""
    return [
        {
            "action": action.action,
            "by": action.by,
            "because": action.because,
            "at": action.asked_at.isoformat(),
            "outcome": action.outcome,
            "detail": action.detail,
            "finished_at": action.finished_at.isoformat() if action.finished_at else None,
        }
        for action in actions
    ]
