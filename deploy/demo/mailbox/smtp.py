"""The SMTP server. It takes what RFC 5321 clients send, SMTPUTF8 included, and keeps it before it says so."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.demo.mailbox.store import MessageStore

log = logging.getLogger(__name__)

_SIZE_LIMIT = 10 * 1024 * 1024


class _KeepMessage:
    def __init__(self, store: MessageStore) -> None:
        self._store = store

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's)
        content = envelope.original_content or b""
        recipients = [str(address) for address in envelope.rcpt_tos]
        try:
            kept = await asyncio.to_thread(self._store.add, envelope.mail_from or "", recipients, content)
        except Exception:
            log.exception("message.refused")
            return "451 4.3.0 Could not be stored, try again later"
        log.info("message.received id=%s bytes=%d", kept, len(content))
        return f"250 2.0.0 OK queued as {kept}"


async def serve_smtp(store: MessageStore, host: str, port: int) -> asyncio.Server:
    """Listen; raises OSError where the port is taken."""
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {
        "enable_SMTPUTF8": True,
        "decode_data": False,
        "data_size_limit": _SIZE_LIMIT,
        "hostname": "mailbox.example.org",
        "ident": "Readmit demo mailbox",
        # Readmit's senders keep connections open between messages.
        "timeout": 300,
    }
    handler = _KeepMessage(store)
    return await loop.create_server(lambda: SMTP(handler, loop=loop, **options), host, port)
