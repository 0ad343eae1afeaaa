"""The demo identity platform in a test: driven by its own HTTP interface, over stubs of intake and recovery."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import shutil
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey
from starlette.applications import Starlette

from deploy.demo.identity import credentials, material, totp
from deploy.demo.identity.app import create_app
from deploy.demo.identity.settings import Settings
from deploy.demo.organisation import BY_ROLE

PLATFORM = "http://127.0.0.1:28100"
INTAKE = "http://127.0.0.1:28101"
RECOVERY = "http://127.0.0.1:28104"
AUDIT = "http://127.0.0.1:28105"
CLIENT_ID, CLIENT_SECRET = "readmit-console", "s/cr:t%"


@dataclass
class Readmit:
    """Stands for Readmit: keeps posted events, publishes a grant key, and fails when told to."""

    intake_answers: list[int] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    keys_available: bool = True
    key: ECKey = field(default_factory=lambda: _key_named("recovery-1"))

    async def handle(self, request: httpx.Request) -> httpx.Response:
        if str(request.url) == f"{RECOVERY}/.well-known/jwks.json":
            return httpx.Response(200 if self.keys_available else 503, json={"keys": [self.key.as_dict(private=False)]})
        assert str(request.url) == f"{INTAKE}/v1/events"
        assert request.headers["content-type"] == "application/cloudevents-batch+json"
        self.tokens.append(request.headers["authorization"].removeprefix("Bearer "))
        status = self.intake_answers.pop(0) if self.intake_answers else 202
        events = json.loads(request.content)
        if status == 0:
            raise httpx.ConnectError("refused")
        if status == 422:
            return httpx.Response(422, json={"errors": [{"index": 0, "reason": "type"}]})
        if status == 202:
            self.events += events
        return httpx.Response(status, json={"accepted": len(events)})

    def grant(
        self,
        account_id: str,
        *actions: str,
        typ: str = "readmit-grant+jwt",
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A grant as recovery signs it, with members replaced; None removes one."""
        now = int(time.time())
        body: dict[str, Any] = {
            "iss": RECOVERY,
            "aud": PLATFORM,
            "sub": account_id,
            "jti": secrets.token_urlsafe(12),
            "iat": now,
            "exp": now + 600,
            "actions": list(actions),
            **claims,
        }
        header = {"alg": "ES256", "typ": typ, "kid": self.key.kid, **(headers or {})}
        return _signed(header, body, self.key)


def _signed(header: dict[str, Any], body: dict[str, Any], key: ECKey) -> str:
    """A compact JWS made by hand: a library would refuse to write some of what must be refused when read."""
    parts = [
        _base64url(json.dumps({name: value for name, value in part.items() if value is not None}).encode())
        for part in (header, body)
    ]
    private = key.private_key
    assert private is not None
    r, s = decode_dss_signature(private.sign(".".join(parts).encode(), ec.ECDSA(hashes.SHA256())))
    return ".".join([*parts, _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))])


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _key_named(kid: str) -> ECKey:
    key = ECKey.generate_key("P-256")
    return ECKey.import_key(key.as_pem(private=True), {"kid": kid, "use": "sig", "alg": "ES256"})


class Platform:
    """A platform on a copy of a prepared folder, with one browser at it."""

    def __init__(self, folder: Path, prepared: Path, readmit: Readmit) -> None:
        shutil.copytree(prepared, folder, dirs_exist_ok=True)
        self.folder = folder
        self.readmit = readmit
        self.settings = Settings(
            demo_dir=folder, port=0, public_url=PLATFORM, intake_url=INTAKE, recovery_url=RECOVERY, audit_url=AUDIT,
            audience=PLATFORM, client_id=CLIENT_ID, client_secret=CLIENT_SECRET,
        )  # fmt: skip
        self.tokens, self.people = credentials(folder, PLATFORM)
        self.app: Starlette
        self.restart()
        self.browser = self.new_browser()

    def restart(self) -> None:
        """A new application on the same folder; its lifespan is the test's to run."""
        self.app = create_app(self.settings, httpx.MockTransport(self.readmit.handle))

    def new_browser(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=PLATFORM, headers=headers)

    async def sign_in(self, role: str, password: str | None = None, **fields: str) -> httpx.Response:
        person = self.people[role]
        form = {"email": person["email"], "password": password or person["password"], **fields}
        return await self.browser.post("/", data=form)

    def backup_code(self, role: str, number: int = 0) -> str:
        account = BY_ROLE[role]
        secret = material.folder_secret(self.folder)
        return material.initial_backup_codes(secret, account.account_id, account.unused_backup_codes)[number]

    def reported(self) -> list[dict[str, Any]]:
        """Events waiting in the outbox, in order."""
        with contextlib.closing(sqlite3.connect(self.folder / "identity.db")) as db:
            rows = db.execute("SELECT event FROM outbox ORDER BY number").fetchall()
        return [json.loads(row[0]) for row in rows]

    def kinds(self) -> list[str]:
        return [event["type"].removeprefix("readmit.identity.").removesuffix(".v1") for event in self.reported()]

    def last_state(self) -> dict[str, Any]:
        states = [event["data"] for event in self.reported() if event["type"] == "readmit.identity.account.v1"]
        return dict(states[-1])


def code_of(secret_text: str, steps: int = 0) -> str:
    """The code that an authenticator shows, `steps` of 30 seconds from now."""
    return totp.code_at(totp.from_text(secret_text), int(time.time()) // totp.STEP_SECONDS + steps)


def secret_on(page: str) -> str:
    """The secret that an enrolment page shows as text."""
    found = re.search(r'<code id="secret">([A-Z2-7 ]+)</code>', page)
    assert found
    return found.group(1)
