"""What intake accepts while all services work it off: requests of 32 clients, and events in batches of 500."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.bench.latency import percentile
from tests.stack import Stack, event

CLIENTS, SECONDS, BATCHES = 32, 5.0, 20


async def measure_intake(stack: Stack) -> dict[str, Any]:
    # Requests first: after the events the projections of four services still work them off.
    taken = await _requests(stack)
    events = await _events(stack)
    return {
        "clients": CLIENTS,
        "requests_per_second": round(len(taken) / SECONDS),
        "p99_ms": round(percentile(taken, 0.99) * 1000, 1),
        "events_per_second": round(events),
    }


async def _requests(stack: Stack) -> list[float]:
    taken: list[float] = []
    end = time.monotonic() + SECONDS
    url = f"{stack.url('intake')}/v1/assistance-requests"

    async def client(number: int) -> None:
        count = 0
        while time.monotonic() < end:
            count += 1
            started = time.monotonic()
            body = {"email": f"bench-{number}-{count}@example.org", "issue": "other"}
            response = await stack.client.post(url, json=body)
            assert response.status_code == 202, response.text
            taken.append(time.monotonic() - started)

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return taken


async def _events(stack: Stack) -> float:
    batches = [
        [event("signin-succeeded", f"bench-{n % 50}", ip="192.0.2.1") for n in range(500)] for _ in range(BATCHES)
    ]
    started = time.monotonic()
    for batch in batches:
        response = await stack.post_events(*batch)
        assert response.status_code == 202, response.text
    return BATCHES * 500 / (time.monotonic() - started)
