"""Programs that a test runs beside itself."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager


@asynccontextmanager
async def running_module(arguments: Sequence[str], environment: Mapping[str, str], port: int) -> AsyncIterator[int]:
    """`python -m` a module that listens at `port`, which it yields; our own READMIT_ settings don't reach it."""
    async with running([sys.executable, "-m", *arguments], environment, port) as listening:
        yield listening


@asynccontextmanager
async def running(argv: Sequence[str], environment: Mapping[str, str], port: int) -> AsyncIterator[int]:
    """The same for any program."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("READMIT_")}
    process = await asyncio.create_subprocess_exec(
        *argv, env=clean | dict(environment), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await _listening(process, port)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    for _ in range(300):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert process.returncode is None, f"the program ended with {process.returncode}"
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise AssertionError("the program does not listen")
