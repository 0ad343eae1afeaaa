"""A mail server that misbehaves on command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

DROP, HANG = "drop", "hang"


@dataclass
class SmtpServerFake:
    """Answers as scripted: a command (`banner`, `EHLO`, `MAIL`, `RCPT`, `DATA`, `.`) to a reply, DROP or HANG."""

    port: int = 0
    replies: dict[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ("8BITMIME", "SMTPUTF8")
    connections: int = 0
    open: int = 0
    commands: list[str] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)  # as on the wire, up to and without CRLF . CRLF

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            if await self._reply(writer, "banner", "220 ready"):
                while line := await reader.readline():
                    if not await self._command(line.decode().rstrip("\r\n"), reader, writer):
                        return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _command(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.commands.append(line)
        verb = line[:4].upper()
        if verb == "EHLO":
            lines = ["fake.example", *self.extensions]
            answer = "\r\n".join(f"250{'-' if item is not lines[-1] else ' '}{item}" for item in lines)
            return await self._reply(writer, verb, answer)
        if verb == "DATA":
            if not await self._reply(writer, verb, "354 go ahead") or "DATA" in self.replies:
                return "DATA" in self.replies and self.replies["DATA"] != DROP
            self.received.append((await reader.readuntil(b"\r\n.\r\n"))[:-5])
            return await self._reply(writer, ".", "250 taken as 1")
        if verb == "QUIT":
            await self._reply(writer, verb, "221 bye")
            return False
        return await self._reply(writer, verb, "250 ok")

    async def _reply(self, writer: asyncio.StreamWriter, command: str, answer: str) -> bool:
        answer = self.replies.get(command, answer)
        if answer == HANG:
            await asyncio.sleep(30)
        if answer in {DROP, HANG}:
            return False
        writer.write(answer.encode() + b"\r\n")
        await writer.drain()
        return not answer.startswith("421")


@asynccontextmanager
async def smtp_server(**replies: str) -> AsyncIterator[SmtpServerFake]:
    fake = SmtpServerFake(replies={"." if name == "end" else name: text for name, text in replies.items()})
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await fake.handle(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
