"""A running stack for tests that use the published interface only: `readmit up`, an SMTP server, an issuer of tokens.

Nothing here imports a service: what it knows is what the contract says.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import functools
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.engines import kafka_of_stack

ROOT = Path(__file__).parent.parent
ISSUER = "https://issuer.example.org"
READMIT = [sys.executable, "-m", "deploy.cli"]


@dataclass
class Received:
    """One message as the SMTP server took it."""

    at: float  # time.monotonic()
    sender: str
    recipients: list[str]
    raw: bytes

    @functools.cached_property
    def message(self) -> EmailMessage:
        """Parsed once: tests look through the mailbox again and again, on the cores that the stack needs."""
        return email.message_from_bytes(self.raw, policy=email.policy.default)

    def part(self, subtype: str) -> str:
        body = self.message.get_body((subtype,))
        assert body is not None
        return str(body.get_content())

    @property
    def text(self) -> str:
        return self.part("plain")

    @property
    def html(self) -> str:
        return self.part("html")


class Mailbox:
    """A real SMTP server that keeps what it gets. `answers` decides per recipient; 250 unless said otherwise."""

    def __init__(self) -> None:
        self.messages: list[Received] = []
        self.answers: dict[str, list[str]] = {}
        self._controller: Controller | None = None

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if planned := self.answers.get(address):
            answer = planned.pop(0)
            if not answer.startswith("2"):
                return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        raw = envelope.original_content or b""
        self.messages.append(Received(time.monotonic(), envelope.mail_from or "", list(envelope.rcpt_tos), raw))
        return "250 OK"

    def to(self, address: str) -> list[Received]:
        return [item for item in self.messages if address in item.recipients]

    def about(self, reference: str) -> list[Received]:
        return [item for item in self.messages if item.message["X-Readmit-Reference"] == reference]

    @contextlib.contextmanager
    def running(self) -> Any:
        controller = Controller(self, hostname="127.0.0.1", port=free_port_base(1), enable_SMTPUTF8=True)
        controller.start()
        self.url = f"smtp://127.0.0.1:{controller.port}"
        try:
            yield self
        finally:
            controller.stop()


def free_port_base(count: int = 9) -> int:
    """The first of `count` neighbouring ports that were all free a moment ago.

    Below 32768, where Linux begins to take the ports of outgoing connections: one of those could sit on a port before
    the stack has come to it.
    """
    for base in range(20_000 + (os.getpid() * 37) % 12_000, 32_768 - count, count):
        try:
            with contextlib.ExitStack() as stack:
                for port in range(base, base + count):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


class Issuer:
    """Signs tokens as an identity platform would; its keys are a JWKS file."""

    def __init__(self, folder: Path) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "test-1", "use": "sig", "alg": "ES256"})
        self.jwks = folder / "jwks.json"
        self.jwks.write_text(json.dumps(KeySet([self.key]).as_dict(private=False)))

    def token(self, subject: str, *scopes: str, **claims: Any) -> str:
        now = datetime.now(UTC)
        payload = {
            "iss": ISSUER,
            "aud": "readmit",
            "sub": subject,
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(hours=1)).timestamp()),
            "scope": " ".join(scopes),
        } | claims
        return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": "test-1"}, payload, self.key)


@dataclass
class Stack:
    """The running services and the ways in."""

    ready: dict[str, Any]
    folder: Path
    mailbox: Mailbox
    issuer: Issuer
    process: asyncio.subprocess.Process
    client: httpx.AsyncClient
    tokens: dict[str, str] = field(default_factory=dict)
    output: list[bytes] = field(default_factory=list)

    def said(self) -> str:
        """What `readmit up` has said so far."""
        return b"".join(self.output).decode(errors="replace")

    def url(self, service: str) -> str:
        return str(self.ready["urls"][service])

    def headers(self, subject: str, *scopes: str, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.issuer.token(subject, *scopes)}", **more}

    async def post_events(self, *events: dict[str, Any]) -> httpx.Response:
        headers = self.headers("platform", "readmit.events", **{"Content-Type": "application/cloudevents-batch+json"})
        return await self.client.post(f"{self.url('intake')}/v1/events", content=json.dumps(events), headers=headers)

    async def request_help(self, address: str, issue: str = "lost-2fa", ip: str = "198.51.100.7") -> str:
        """Submits a request on a person's behalf, as the sign-in page's backend does; returns its reference."""
        response = await self.client.post(
            f"{self.url('intake')}/v1/assistance-requests",
            json={"email": address, "issue": issue, "client": {"ip": ip, "user_agent": "Mozilla/5.0 (e2e)"}},
            headers=self.headers("platform", "readmit.requests"),
        )
        assert response.status_code == 202, response.text
        return str(response.json()["reference_id"])

    async def records(self, query: str = "", subject: str = "auditor") -> list[dict[str, Any]]:
        """All audit records that match a query, over all pages."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            parameters = {"q": query, "limit": "1000"} | ({"cursor": cursor} if cursor else {})
            response = await self.client.get(
                f"{self.url('audit')}/v1/records", params=parameters, headers=self.headers(subject, "readmit.audit")
            )
            assert response.status_code == 200, response.text
            found += response.json()["records"]
            cursor = response.json()["next"]
            if cursor is None:
                return found

    def refresh(self) -> None:
        """Reads `ready.json` again: pids change when something was restarted."""
        self.ready = json.loads((self.folder / "ready.json").read_text())


async def eventually(condition: Callable[[], Any], seconds: float = 15, what: str = "the condition") -> Any:
    """The condition's value once it is true; fails after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come true within {seconds} s"
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running_stack(
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    demo: bool = False,
    mailbox: Mailbox | None = None,
    options: Sequence[str] = (),
) -> AsyncIterator[Stack]:
    """`readmit up` with the test's own issuer and SMTP server, stopped by SIGTERM at the end.

    With `demo`, the demo's own identity platform and mailbox are used instead. `options` are more of `up`'s; the broker
    is that of READMIT_TEST_KAFKA unless they name one.
    """
    async with kafka_of_stack(folder, options) as (all_options, broker):
        more = broker | dict(environment or {})
        async with _running(folder, more, demo=demo, mailbox=mailbox, options=all_options) as stack:
            yield stack


@contextlib.asynccontextmanager
async def _running(
    folder: Path, environment: Mapping[str, str], *, demo: bool, mailbox: Mailbox | None, options: Sequence[str]
) -> AsyncIterator[Stack]:
    issuer, mailbox = Issuer(folder), mailbox or Mailbox()
    with mailbox.running():
        data = folder / "data"
        own = {
            "READMIT_AUTH_JWKS": str(issuer.jwks),
            "READMIT_AUTH_ISSUER": ISSUER,
            "READMIT_SMTP_URL": mailbox.url,
        }
        settings = (
            ({} if demo else own)
            | {
                "READMIT_MAIL_FROM": "Readmit <readmit@example.org>",
                "READMIT_INTAKE_LIMIT_NETWORK": "",
                "READMIT_INTAKE_LIMIT_ADDRESS": "",
                "READMIT_INTAKE_LIMIT_ADDRESS_TOTAL": "",
                "READMIT_INTAKE_LIMIT_TOTAL": "",
            }
            | dict(environment)
        )
        clean = {name: value for name, value in os.environ.items() if not name.startswith("READMIT_")}
        arguments = ["up", "--data-dir", str(data), "--port-base", str(free_port_base()), *(["--demo"] if demo else [])]
        arguments += options
        process = await asyncio.create_subprocess_exec(
            *READMIT, *arguments, env=clean | settings, cwd=ROOT, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output: list[bytes] = []
        reader = asyncio.create_task(_collect(process, output))
        try:
            await _until_ready(process, data / "ready.json", output)
            async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
                ready = json.loads((data / "ready.json").read_text())
                yield Stack(ready, data, mailbox, issuer, process, client, output=output)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 20)
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


async def readmit(stack: Stack, *arguments: str) -> tuple[int, str]:
    """Runs a command beside the stack, with what its people would have set."""
    own = {"READMIT_AUTH_JWKS": str(stack.issuer.jwks), "READMIT_AUTH_ISSUER": ISSUER}
    own |= {"READMIT_SMTP_URL": stack.mailbox.url, "READMIT_MAIL_FROM": "Readmit <readmit@example.org>"}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("READMIT_")}
    process = await asyncio.create_subprocess_exec(
        *READMIT, *arguments, "--data-dir", str(stack.folder), env=clean | own, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def _collect(process: asyncio.subprocess.Process, output: list[bytes]) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        output.append(line)


async def _until_ready(process: asyncio.subprocess.Process, path: Path, output: list[bytes]) -> None:
    end = time.monotonic() + 90
    while not path.exists():
        said = b"".join(output[-40:]).decode(errors="replace")
        assert process.returncode is None, f"readmit up ended with {process.returncode}:\n{said}"
        assert time.monotonic() < end, f"readmit up was not ready within 90 s:\n{said}"
        await asyncio.sleep(0.05)


def event(type_: str, account_id: str | None, *, at: datetime | None = None, **data: Any) -> dict[str, Any]:
    """A CloudEvent of the identity platform, as contract section 4 has it."""
    body = ({"account_id": account_id} if account_id else {}) | data
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "https://identity.example.org",
        "type": f"readmit.identity.{type_}.v1",
        "time": (at or datetime.now(UTC)).isoformat(),
        **({"subject": account_id} if account_id else {}),
        "data": body,
    }


def account(account_id: str, address: str, *, at: datetime | None = None, **changes: Any) -> dict[str, Any]:
    """An account event with sensible state, changed as the test needs."""
    state: dict[str, Any] = {
        "email": address,
        "display_name": account_id.replace("-", " ").title(),
        "status": "active",
        "two_factor_enabled": True,
        "unused_backup_codes": 0,
        "data_protection_access": 0,
        "expert_mode": False,
    } | changes
    return event("account", account_id, at=at, **state)


CODE = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{5}\b")
LINK_TOKEN = re.compile(r"/r#([A-Za-z0-9_-]{43})")
