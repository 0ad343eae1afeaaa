"""Signed-in sessions, kept whole in a signed cookie: no store to share between replicas.

The cookie can be read by the person whose it is; it holds nothing that they don't know. Permissions are not in it:
they come from the directory, each time something is done.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Literal, TypedDict
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from shared.kit.clock import Clock, utc_now
from shared.web.signing import Signer, decode, encode

# A working day. The provider is asked again after it.
SESSION_LIFETIME = timedelta(hours=8)


@dataclass(frozen=True)
class Session:
    id: str
    """Random, new at each sign-in, so that a session planted before it is worth nothing after."""
    subject: str
    """The ``sub`` of the token."""
    account: str | None
    """The account in the directory: the token's account claim. None where the token had none."""
    scopes: frozenset[str]
    issued_at: datetime
    expires_at: datetime
    name: str | None = None


class CookieOptions(TypedDict):
    """The attributes that setting and deleting a cookie must agree on."""

    path: str
    secure: bool
    httponly: bool
    samesite: Literal["lax"]


def is_loopback(url: str) -> bool:
    """Whether the address is http on this very machine, where a browser sends no ``Secure`` cookie for sure."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http":
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def cookie_options(public_url: str, path: str = "/") -> CookieOptions:
    return {"path": path, "secure": not is_loopback(public_url), "httponly": True, "samesite": "lax"}


class Sessions:
    """Starts, reads and ends the sessions of one service. `keys` newest first; old ones still verify."""

    def __init__(
        self,
        *,
        service: str,
        keys: Sequence[bytes],
        public_url: str,
        lifetime: timedelta = SESSION_LIFETIME,
        clock: Clock = utc_now,
    ) -> None:
        # Cookies ignore ports: without the service in it, two consoles on one host would overwrite each other's.
        self.cookie_name = f"readmit_{service}_session"
        self._signer = Signer(keys, f"session/{service}")
        self._csrf = Signer(keys, f"csrf/{service}")
        self._options = cookie_options(public_url)
        self._lifetime = lifetime
        self._clock = clock

    def start(
        self, response: Response, *, subject: str, account: str | None, scopes: frozenset[str], name: str | None = None
    ) -> Session:
        """A new session, its cookie set on the response."""
        issued = self._clock().replace(microsecond=0)
        session = Session(
            encode(secrets.token_bytes(16)), subject, account, scopes, issued, issued + self._lifetime, name
        )
        max_age = int(self._lifetime.total_seconds())
        response.set_cookie(self.cookie_name, self._signer.seal(_dump(session)), max_age=max_age, **self._options)
        return session

    def load(self, request: Request) -> Session | None:
        """The session of the request: None without one, or when it is expired, forged or from another service."""
        payload = self._signer.open(request.cookies.get(self.cookie_name, ""))
        if payload is None:
            return None
        session = _load(payload)
        # The lifetime is checked against the time of issue too, so that shortening the setting takes effect at once.
        present = self._clock()
        alive = present < session.expires_at and present < session.issued_at + self._lifetime
        return session if alive else None

    def end(self, response: Response) -> None:
        response.delete_cookie(self.cookie_name, **self._options)

    def csrf_token(self, session: Session) -> str:
        """What the session's forms carry in the field ``csrf_token``."""
        return encode(self._csrf.signature(session.id.encode()))

    def csrf_matches(self, session: Session, token: str) -> bool:
        try:
            return self._csrf.matches(session.id.encode(), decode(token))
        except ValueError:
            return False


def _dump(session: Session) -> bytes:
    fields = {
        "id": session.id,
        "sub": session.subject,
        "account": session.account,
        "scopes": sorted(session.scopes),
        "iat": int(session.issued_at.timestamp()),
        "exp": int(session.expires_at.timestamp()),
        "name": session.name,
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def _load(payload: bytes) -> Session:
    fields = json.loads(payload)
    return Session(
        id=fields["id"],
        subject=fields["sub"],
        account=fields["account"],
        scopes=frozenset(fields["scopes"]),
        issued_at=datetime.fromtimestamp(fields["iat"], UTC),
        expires_at=datetime.fromtimestamp(fields["exp"], UTC),
        name=fields["name"],
    )
