"""The settings of services that send mail."""

from __future__ import annotations

from datetime import UTC, datetime
from email.headerregistry import HeaderRegistry
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode

from shared.kit.addresses import parse_address
from shared.kit.mail.message import Mail, compose, envelope_address
from shared.kit.mail.servers import SmtpServer, parse_smtp_urls


def _servers(value: object) -> object:
    return parse_smtp_urls(value) if isinstance(value, str) else value


def _from(value: object) -> object:
    if isinstance(value, str) and not _is_one_mailbox(value):
        raise ValueError("must be an address such as 'Readmit <readmit@example.org>'")
    return value


def _is_one_mailbox(value: str) -> bool:
    try:
        parse_address(envelope_address(value))
        compose(Mail(value, "a@example.org", "", "", "", "<a@example.org>", datetime.fromtimestamp(0, UTC)))
        addresses: tuple[Any, ...] = getattr(HeaderRegistry()("From", value), "addresses", ())
    except (ValueError, LookupError):
        return False
    return len(addresses) == 1 and addresses[0].addr_spec == envelope_address(value)


class MailSettings(BaseModel):
    """Mixed into the settings of a service that sends mail."""

    smtp_url: Annotated[tuple[SmtpServer, ...], NoDecode, BeforeValidator(_servers)] = Field(
        description="SMTP servers in the order to try: smtp://, smtps:// or smtp+starttls://, with credentials."
    )
    mail_from: Annotated[str, BeforeValidator(_from)] = Field(description="The `From` of every mail.")
