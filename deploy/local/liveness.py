"""Restarts a service that runs but says that it is no longer live, such as a consumer gone deaf (hazard 10)."""

import asyncio

from deploy.local.children import Child
from deploy.local.probe import http_status

_INTERVAL = 5.0  # seconds
_STRIKES = 3


async def recycle_when_not_live(child: Child, host: str, port: int, *, interval: float = _INTERVAL) -> None:
    """Watch one service for ever. No answer is no verdict: a stopped or busy process is not a broken one."""
    strikes, judged = 0, child.pid
    while True:
        await asyncio.sleep(interval)
        status = await http_status(host, port, "/health/live")
        if child.pid != judged:
            strikes, judged = 0, child.pid
        strikes = strikes + 1 if status == 503 else 0
        if strikes >= _STRIKES:
            await child.recycle()
            strikes = 0
