"""Recovery's settings (contract sections 2, 7 and 10)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from limits import parse
from pydantic import AfterValidator, Field, SecretStr

from services.recovery.adapters.grants import load_keys
from services.recovery.adapters.limits import shared_url
from services.recovery.adapters.reasons import load_reasons
from shared.kit.http.client_address import ProxyHeader, parse_networks
from shared.kit.http.settings import AuthSettings
from shared.kit.mail.settings import MailSettings
from shared.kit.settings import CommaList, PemKeys, PrivateKeys, ServiceSettings, SymmetricKeys
from shared.web.settings import PageSettings


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://recovery.example.org")
    return value.rstrip("/")


def _limit(value: str) -> str:
    if value:
        try:
            parse(value)
        except ValueError:
            raise ValueError("must be a limit such as '30 per 10 minutes', or empty for none") from None
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    try:
        parse_networks(value)
    except ValueError:
        raise ValueError("must be networks in CIDR notation, comma separated") from None
    return value


def _grant_keys(value: PemKeys) -> PemKeys:
    load_keys(value)
    return value


def _reasons(value: Path | None) -> Path | None:
    load_reasons(value)
    return value


def _store(value: str | None) -> str | None:
    if value is not None:
        shared_url(value)
    return value


WebAddress = Annotated[str, AfterValidator(_web_address)]
Limit = Annotated[str, AfterValidator(_limit)]
OFF: dict[str, Any] = {"empty_is_off": True}


class RecoverySettings(ServiceSettings, AuthSettings, MailSettings, PageSettings):
    """What recovery reads from its environment."""

    service: ClassVar[str] = "recovery"

    # The mail queue holds 5 (a fetcher and four senders), the relay 3; the rest is for requests and events.
    database_pool_size: int = Field(20, ge=14, le=100, description="Connections to the database kept in the pool.")

    public_recovery_url: WebAddress = Field(description="Where people reach recovery; the issuer of its grants.")
    identity_continue_url: Annotated[str, Field(pattern="^https?://")] = Field(
        description="Where the pages post the grant: the identity platform's own page for it."
    )
    identity_audience: str = Field(min_length=1, description="The `aud` of grants.")
    signin_url: str | None = Field(None, description="The sign-in page, named in mails.")

    code_key: SymmetricKeys = Field(description="Keys of the hashes of codes and tokens, newest first.")
    session_key: SymmetricKeys = Field(description="Keys that sign the consoles' sessions, newest first.")
    grant_key: Annotated[PrivateKeys, AfterValidator(_grant_keys)] = Field(
        description="ES256 keys that sign grants (PKCS#8 PEM), newest first."
    )

    access_email_level: int = Field(
        1, ge=0, description="Data protection access needed for an access email, and for looking accounts up."
    )
    recovery_code_level: int = Field(
        2, ge=0, description="Data protection access needed for a recovery code, together with expert mode."
    )
    forbid_self_service: bool = Field(True, description="Whether nobody may act on their own account.")
    forbid_higher_target: bool = Field(
        True, description="Whether nobody may act on an account with more data protection access than their own."
    )
    reasons: Annotated[Path | None, AfterValidator(_reasons)] = Field(
        None, description='JSON file of the predefined reasons, [{"code", "label"}].'
    )

    recovery_code_ttl: int = Field(3600, ge=60, le=3600, description="Seconds for which a code can be used.")
    recovery_link_ttl: int = Field(
        86_400, ge=300, le=86_400, description="Seconds for which the link of an access email can be used."
    )
    recovery_limit_network: Limit = Field(
        "30 per 10 minutes",
        description="Attempts per IPv4 address or IPv6 /64; empty for no limit.",
        json_schema_extra=OFF,
    )
    recovery_limit_account: Limit = Field(
        "10 per day",
        description="Wrong codes that count against an account; empty for no limit.",
        json_schema_extra=OFF,
    )
    rate_limit_url: Annotated[str | None, AfterValidator(_store)] = Field(
        None, description="Valkey or Redis that replicas share their limits in, such as redis://limits:6379."
    )
    trusted_proxies: Annotated[CommaList, AfterValidator(_networks)] = Field(
        (), description="Networks of proxies whose header about the client is believed."
    )
    trusted_proxy_header: ProxyHeader = Field(
        ProxyHeader.X_FORWARDED_FOR, description="The header that those proxies write."
    )
    enrichment_url: WebAddress | None = Field(
        None, description="Where enrichment answers; without it the security context is `unknown`."
    )

    oidc_client_id: str | None = Field(None, description="OpenID Connect client of the console.")
    oidc_client_secret: SecretStr | None = Field(None, description="Its secret.")
