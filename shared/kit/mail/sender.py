"""Handing messages to SMTP servers: kept connections, several servers, and answers told apart."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiosmtplib
from prometheus_client import Counter, Gauge, Histogram

from shared.kit.addresses import wire_address
from shared.kit.failpoints import failpoint
from shared.kit.logging import get_logger
from shared.kit.mail.servers import SmtpServer
from shared.kit.messaging.errors import RetryableError

log = get_logger(__name__)

CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 60.0  # RFC 5321 section 4.5.3.2 allows minutes; an admin waits for this mail
# One message altogether. Each answer may come in time and all of them too late: the job's lease (150 s) must outlive
# this, or the mail goes out twice with nobody dead.
MESSAGE_SECONDS = 100.0
CLOSING = 421  # RFC 5321, section 3.8: the server closes the connection after this answer
IDLE_SECONDS = 20.0  # servers close idle connections; one this old is not trusted with a message

sent_messages = Counter("readmit_mail_messages_total", "Messages by how the server answered.", ["outcome"])
alarm_raised = Gauge("readmit_mail_alarm", "1 while no mail server has answered for long.")
send_seconds = Histogram("readmit_mail_send_seconds", "Time from the first command to the server's answer.")


class MailFailed(Exception):
    """The message was not taken. `status` is the server's reply code, None where no server answered."""

    def __init__(self, status: int | None, answer: str) -> None:
        super().__init__(f"{status or 'no answer'}")
        self.status = status
        self.answer = answer[:1000]


class TemporaryFailure(MailFailed, RetryableError):
    """4xx, a broken connection or a time-out: the same message may be taken later."""


class PermanentFailure(MailFailed):
    """5xx to this sender, recipient or message (RFC 5321, section 4.2.1)."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server's final answer to a message that it took."""

    server: str
    answer: str


class Mailer:
    """Sends messages over at most `connections` kept connections; safe to call from many tasks."""

    def __init__(self, servers: Sequence[SmtpServer], *, connections: int = 8, alarm_seconds: float = 120.0) -> None:
        self._servers = servers
        self._alarm_seconds = alarm_seconds
        self._unanswered_since: float | None = None  # the first of the attempts in a row that no server answered
        self._alarm: str | None = None
        self._free: list[tuple[aiosmtplib.SMTP, SmtpServer, float]] = []
        self._slots = asyncio.Semaphore(connections)

    async def send(self, message: bytes, *, sender: str, recipient: str) -> Accepted:
        """Hands one message over.

        Raises:
            TemporaryFailure, PermanentFailure: it was not taken.
        """
        sender, recipient = wire_address(sender), wire_address(recipient)
        async with self._slots:
            try:
                async with asyncio.timeout(MESSAGE_SECONDS):
                    client, server = await self._connection()
                    accepted = await self._transmit(client, server, message, sender, recipient)
            except TimeoutError:
                sent_messages.labels("temporary-failure").inc()
                self._note(answered=False)
                raise TemporaryFailure(None, "the server took too long altogether") from None
            except TemporaryFailure as failure:
                sent_messages.labels("temporary-failure").inc()
                self._note(answered=failure.status is not None)
                raise
            except PermanentFailure:
                sent_messages.labels("permanent-failure").inc()
                self._note(answered=True)
                raise
            sent_messages.labels("accepted").inc()
            self._note(answered=True)
            return accepted

    async def alarm(self) -> str | None:
        """Why no mail goes out, for the health page. A server that says 4xx does answer: no alarm."""
        return self._alarm

    def _note(self, *, answered: bool) -> None:
        now = time.monotonic()
        since = self._unanswered_since = None if answered else self._unanswered_since or now
        raised = since is not None and now - since >= self._alarm_seconds
        if raised != (self._alarm is not None):
            alarm_raised.set(int(raised))
            report = log.warning if raised else log.info
            report("mail.alarm_raised" if raised else "mail.alarm_cleared", servers=[s.name for s in self._servers])
        self._alarm = f"no mail server has answered for {now - since:.0f} s" if raised and since is not None else None

    async def _connection(self) -> tuple[aiosmtplib.SMTP, SmtpServer]:
        while self._free:
            client, server, used_at = self._free.pop()
            if client.is_connected and time.monotonic() - used_at < IDLE_SECONDS:
                return client, server
            client.close()
        failure = TemporaryFailure(None, "no server configured")
        for server in self._servers:
            try:
                return await _connect(server), server
            except (aiosmtplib.SMTPException, OSError, ssl.SSLError, TimeoutError) as error:
                # Refused at the door (5xx greeting, credentials, TLS): about this server, not about the message.
                log.warning("mail.server_unreachable", server=server.name, error=type(error).__name__)
                failure = TemporaryFailure(getattr(error, "code", None), f"{server.name}: {type(error).__name__}")
        raise failure

    async def _transmit(
        self, client: aiosmtplib.SMTP, server: SmtpServer, message: bytes, sender: str, recipient: str
    ) -> Accepted:
        started = time.perf_counter()
        options = [] if recipient.isascii() and sender.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        try:
            _, answer = await client.sendmail(sender, [recipient], message, mail_options=options)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            if refusal.code == CLOSING:
                client.close()
            await self._keep(client, server)
            raise _failure(refusal.code, refusal.message) from None
        except aiosmtplib.SMTPNotSupported:
            await self._keep(client, server)
            raise PermanentFailure(553, "the server does not support SMTPUTF8") from None
        except aiosmtplib.SMTPResponseException as error:
            client.close()
            raise _failure(error.code, error.message) from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            client.close()
            raise TemporaryFailure(None, type(error).__name__) from None
        except asyncio.CancelledError:
            client.close()
            raise
        send_seconds.observe(time.perf_counter() - started)
        await self._keep(client, server)
        return Accepted(server.name, answer)

    async def _keep(self, client: aiosmtplib.SMTP, server: SmtpServer) -> None:
        if client.is_connected:
            self._free.append((client, server, time.monotonic()))

    async def start(self) -> None:
        """Connections are made when the first message needs one."""

    async def stop(self) -> None:
        """Says goodbye on the kept connections."""
        free, self._free = self._free, []
        await asyncio.gather(*(_quit(client) for client, _, _ in free))


async def _quit(client: aiosmtplib.SMTP) -> None:
    try:
        async with asyncio.timeout(1.0):
            await client.quit()
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        client.close()


class _Client(aiosmtplib.SMTP):
    async def data(self, message: str | bytes, /, **options: Any) -> aiosmtplib.SMTPResponse:
        await failpoint("mail.before-data")
        response = await super().data(message, **options)
        await failpoint("mail.after-final-dot")
        return response


async def _connect(server: SmtpServer) -> aiosmtplib.SMTP:
    client = _Client(
        hostname=server.host,
        port=server.port,
        username=server.username,
        password=server.password,
        use_tls=server.security == "tls",
        start_tls=server.security == "starttls",
        timeout=CONNECT_SECONDS,
    )
    await client.connect()
    client.timeout = COMMAND_SECONDS
    return client


def _failure(status: int, answer: str) -> MailFailed:
    # 421 closes the connection and 4xx asks to come back; what is neither 4xx nor 5xx is a server out of step.
    return PermanentFailure(status, answer) if 500 <= status < 600 else TemporaryFailure(status, answer)
