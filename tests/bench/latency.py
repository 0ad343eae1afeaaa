"""From the answer to a request until the SMTP server has the administrator's message, on an idle stack."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from tests.builders.organisation import an_organisation
from tests.stack import Stack, eventually


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def measure_latency(stack: Stack, requests: int = 60) -> dict[str, Any]:
    org = await an_organisation(stack)
    warm = await stack.request_help(org.person.address)
    await eventually(lambda: len(stack.mailbox.about(warm)) >= 2)
    taken: list[float] = []
    for number in range(requests):
        await asyncio.sleep(0.25 + (number % 7) * 0.03)  # idle, and not in step with any polling
        started = time.monotonic()
        reference = await stack.request_help(org.person.address)
        await eventually(lambda wanted=reference: stack.mailbox.about(wanted))  # type: ignore[misc]
        taken.append((stack.mailbox.about(reference)[0].at - started) * 1000)
    return {
        "n": requests,
        "p50_ms": round(statistics.median(taken), 1),
        "p99_ms": round(percentile(taken, 0.99), 1),
        "max_ms": round(max(taken), 1),
    }
