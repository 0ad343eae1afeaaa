"""A running recovery service, and everything around it that a test plays: platform, administrators, mailbox."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from sqlalchemy import text

from services.recovery.bootstrap import UseCases, bootstrap
from services.recovery.settings import RecoverySettings
from shared.kit.clock import uuid7
from shared.kit.db.migrate import migrate_async
from shared.kit.messaging.topics import apply_topics
from shared.kit.service import Plumbing
from shared.schemas.envelope import Event
from shared.schemas.identity import AccountData, AccountReported, AccountStatus
from tests.engines import PostgresEngine, kafka_settings
from tests.integration.recovery.smtp_sink import Sink

ISSUER = "https://id.example.org"
PUBLIC = "http://127.0.0.1:8104"
AUDIENCE = "https://id.example.org"
CONTINUE = "https://id.example.org/continue"
NOTHING = object()


def base64_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def grant_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


async def wait_for(condition: Callable[[], Any], seconds: float = 15) -> Any:
    """Waits until the condition holds, at most so long, and returns it."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return result
        assert asyncio.get_running_loop().time() < end, "the condition did not come true"
        await asyncio.sleep(0.02)


@dataclass
class Recovery:
    """The service and what surrounds it."""

    app: FastAPI
    plumbing: Plumbing
    use_cases: UseCases
    client: httpx.AsyncClient
    sink: Sink
    issuer_key: ECKey
    grant_keys: KeySet
    settings: RecoverySettings
    _address: int = field(default=0)

    # -- the identity platform

    async def report(self, *events: Event[Any]) -> None:
        """Has the service consume events, as its consumer would."""
        async with self.plumbing.database.begin() as unit:
            from services.recovery.adapters.store import SqlTransaction

            await self.use_cases.accounts(await unit.first_times(events), SqlTransaction(unit))

    async def account(self, **changes: Any) -> AccountData:
        """A new account, known to the directory."""
        name = secrets.token_hex(5)
        values: dict[str, Any] = {
            "account_id": f"acc-{name}",
            "email": f"{name}@example.org",
            "display_name": f"Person {name}",
            "status": AccountStatus.ACTIVE,
            "two_factor_enabled": True,
            "unused_backup_codes": 0,
            "data_protection_access": 0,
            "expert_mode": False,
        }
        at = changes.pop("at", datetime.now(UTC) - timedelta(minutes=10))
        data = AccountData(**(values | changes))
        await self.report(self.event(AccountReported, data, at=at))
        return data

    def event(self, kind: type[Event[Any]], data: Any, *, at: datetime | None = None) -> Event[Any]:
        return kind(  # type: ignore[call-arg]
            id=uuid7(), source="/test", time=at or datetime.now(UTC), subject=data.account_id, data=data
        )

    async def expert(self, **changes: Any) -> AccountData:
        return await self.account(**{"data_protection_access": 3, "expert_mode": True} | changes)

    # -- administrators

    def token(self, account: AccountData | str | None, scope: str = "readmit.recover", **claims: Any) -> str:
        subject = account.account_id if isinstance(account, AccountData) else account
        values = {
            "iss": ISSUER,
            "aud": "readmit",
            "sub": subject,
            "exp": int((datetime.now(UTC) + timedelta(hours=1)).timestamp()),
            "scope": scope,
        } | claims
        return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": self.issuer_key.kid}, values, self.issuer_key)

    async def call(
        self, method: str, path: str, admin: AccountData | str | None, json: Any = NOTHING, **more: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token(admin)}"} if admin is not None else {}
        headers |= more.pop("headers", {})
        if json is not NOTHING:
            more["json"] = json
        return await self.client.request(method, path, headers=headers, **more)

    async def send(self, kind: str, admin: AccountData, target: AccountData, **body: Any) -> httpx.Response:
        """`kind` is `access-emails` or `recovery-codes`."""
        headers = body.pop("headers", {})
        path = f"/v1/accounts/{target.account_id}/{kind}"
        return await self.call("POST", path, admin, {"reason": "lost-device"} | body, headers=headers)

    async def mailed_code(self, target: AccountData, admin: AccountData | None = None, **body: Any) -> tuple[str, str]:
        """Has a code sent; returns the action's id and the code."""
        before = len(self.sink.codes(target.email))
        answer = await self.send("recovery-codes", admin or await self.expert(), target, **body)
        assert answer.status_code == 202, answer.text
        action_id = answer.json()["action_id"]
        await wait_for(lambda: len(self.sink.codes(target.email)) > before)
        await self.until(action_id, "sent")
        return action_id, self.sink.codes(target.email)[-1]

    async def mailed_link(self, target: AccountData, admin: AccountData | None = None, **body: Any) -> tuple[str, str]:
        """Has a link sent; returns the action's id and the token."""
        before = len(self.sink.tokens(target.email))
        answer = await self.send("access-emails", admin or await self.expert(), target, **body)
        assert answer.status_code == 202, answer.text
        action_id = answer.json()["action_id"]
        await wait_for(lambda: len(self.sink.tokens(target.email)) > before)
        await self.until(action_id, "sent")
        return action_id, self.sink.tokens(target.email)[-1]

    async def until(self, action_id: str, status: str, seconds: float = 15) -> dict[str, Any]:
        async def reached() -> dict[str, Any] | None:
            state = await self.status(action_id)
            return state if state["status"] == status else None

        found: dict[str, Any] = await wait_for(reached, seconds)
        return found

    async def status(self, action_id: str) -> dict[str, Any]:
        async with self.plumbing.database.read() as connection:
            row = (
                await connection.execute(text("SELECT * FROM actions WHERE action_id = :id"), {"id": action_id})
            ).one()
            return dict(row._mapping)

    # -- the person

    def fresh_ip(self) -> str:
        """An address that no limit has seen."""
        self._address += 1
        return f"198.18.{self._address // 250}.{self._address % 250 + 1}"

    async def redeem(
        self, email: Any, code: Any, actions: Any = ("reset-password",), *, ip: str | None = None
    ) -> httpx.Response:
        body = {"email": email, "code": code, "actions": list(actions) if isinstance(actions, tuple) else actions}
        headers = {"X-Forwarded-For": ip or self.fresh_ip()}
        return await self.client.post("/v1/recovery-codes/redeem", json=body, headers=headers)

    async def redeem_link(self, token: Any, *, ip: str | None = None) -> httpx.Response:
        headers = {"X-Forwarded-For": ip or self.fresh_ip()}
        return await self.client.post("/v1/access-links/redeem", json={"token": token}, headers=headers)

    # -- what the service holds and says

    async def events(self, subject: str | None = None, kind: str | None = None) -> list[dict[str, Any]]:
        """What was published, in order."""
        async with self.plumbing.database.read() as connection:
            rows = await connection.execute(
                text("SELECT value FROM ledger WHERE type LIKE 'readmit.recovery.%' ORDER BY id")
            )
            events = [json.loads(bytes(row.value)) for row in rows]
        return [
            event
            for event in events
            if (subject is None or event.get("subject") == subject)
            and (kind is None or event["type"] == f"readmit.recovery.{kind}.v1")
        ]

    async def execute(self, sql: str, **parameters: Any) -> None:
        async with self.plumbing.engine.begin() as connection:
            await connection.execute(text(sql), parameters)

    async def rows(self, sql: str, **parameters: Any) -> list[Any]:
        async with self.plumbing.database.read() as connection:
            return list((await connection.execute(text(sql), parameters)).all())


def environment(database_url: str, servers: list[str], sink: Sink, jwks: Path, **settings: str) -> dict[str, str]:
    return {
        "READMIT_RECOVERY_DATABASE_URL": database_url,
        **kafka_settings(servers),
        "READMIT_HASH_KEY": base64_key(),
        "READMIT_CODE_KEY": base64_key(),
        "READMIT_SESSION_KEY": base64_key(),
        "READMIT_GRANT_KEY": grant_key(),
        "READMIT_AUTH_JWKS": str(jwks),
        "READMIT_AUTH_ISSUER": ISSUER,
        "READMIT_SMTP_URL": f"smtp://127.0.0.1:{sink.port}",
        "READMIT_MAIL_FROM": "Account recovery <recovery@example.org>",
        "READMIT_PUBLIC_RECOVERY_URL": PUBLIC,
        "READMIT_IDENTITY_CONTINUE_URL": CONTINUE,
        "READMIT_IDENTITY_AUDIENCE": AUDIENCE,
        "READMIT_SIGNIN_URL": ISSUER,
        "READMIT_ORGANISATION": "Meridian Example",
        "READMIT_SUPPORT_CONTACT": "helpdesk@meridian.example.org",
        "READMIT_TRUSTED_PROXIES": "127.0.0.0/8",
    } | settings


@asynccontextmanager
async def running_recovery(
    postgres: PostgresEngine, servers: list[str], sink: Sink, folder: Path, **settings: str
) -> AsyncIterator[Recovery]:
    """A service with a database and keys of its own; `settings` are further environment variables."""
    issuer_key = ECKey.generate_key("P-256", auto_kid=True)
    jwks = folder / f"jwks-{secrets.token_hex(4)}.json"
    jwks.write_text(json.dumps({"keys": [issuer_key.as_dict(private=False)]}))
    await apply_topics(servers, Path("deploy/kafka/topics.yaml"))
    url = settings.pop("database_url", "") or await postgres.create("recovery")
    await migrate_async("recovery", url)
    loaded = RecoverySettings.load(environment(url, servers, sink, jwks, **settings))
    app = bootstrap(loaded, group=f"recovery.events-{secrets.token_hex(4)}")
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 50000), raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=PUBLIC) as client,
    ):
        keys = KeySet.import_key_set((await client.get("/.well-known/jwks.json")).json())
        parts = app.state.recovery
        yield Recovery(app, parts.plumbing, parts.use_cases, client, sink, issuer_key, keys, loaded)
