"""Where mail is handed over: `READMIT_SMTP_URL` read into servers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

Security = Literal["none", "starttls", "tls"]
_SCHEMES: dict[str, tuple[Security, int]] = {
    "smtp": ("none", 25),
    "smtp+starttls": ("starttls", 587),
    "smtps": ("tls", 465),
}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """One server. Certificates are verified wherever TLS is used."""

    host: str
    port: int
    security: Security
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"


def parse_smtp_urls(value: str) -> tuple[SmtpServer, ...]:
    """Servers in the order in which they are tried, from URLs separated by commas.

    Raises:
        ValueError: says which part is wrong, without repeating credentials.
    """
    servers = tuple(_parse(part.strip()) for part in value.split(",") if part.strip())
    if not servers:
        raise ValueError("must name at least one server, such as smtp://mail.example.org:25")
    return servers


def _parse(url: str) -> SmtpServer:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ValueError("must begin with smtp://, smtps:// or smtp+starttls://")
    security, default_port = _SCHEMES[parts.scheme]
    try:
        port = parts.port or default_port
    except ValueError:
        raise ValueError("has a port that is no number from 1 to 65535") from None
    if not parts.hostname or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("must be scheme://[user:password@]host[:port]")
    return SmtpServer(
        host=parts.hostname,
        port=port,
        security=security,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
