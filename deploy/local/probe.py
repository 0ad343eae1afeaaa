"""Is it up yet? The smallest questions to ask of a port, without an HTTP client's memory in the supervisor."""

import asyncio
import time
from collections.abc import Awaitable, Callable

Probe = Callable[[], Awaitable[bool]]

_INTERVAL = 0.05  # seconds; short, since every start waits for several of these in a row


async def listens(host: str, port: int, *, timeout: float = 1.0) -> bool:
    """Whether something accepts TCP connections there."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def http_status(host: str, port: int, path: str, *, timeout: float = 2.0) -> int | None:
    """The status of a GET, None without an answer."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            status_line = await reader.readline()
        return int(status_line.split(b" ", 2)[1])
    except (OSError, TimeoutError, ValueError, IndexError):
        return None
    finally:
        if writer is not None:
            writer.close()


def http_ready(host: str, port: int, path: str) -> Probe:
    """A probe that holds once a GET is answered with 200."""

    async def probe() -> bool:
        return await http_status(host, port, path) == 200

    return probe


async def wait_until(probe: Probe, *, limit: float) -> bool:
    """Ask until it holds; False after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not await probe():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(_INTERVAL)
    return True
