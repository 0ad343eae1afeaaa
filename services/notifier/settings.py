"""The settings of notifier (contract, sections 2, 6 and 10)."""

from __future__ import annotations

from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from shared.kit.addresses import parse_address
from shared.kit.http.settings import OperationsAuthSettings
from shared.kit.mail.settings import MailSettings
from shared.kit.settings import ServiceSettings


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://recovery.example.org")
    return value.rstrip("/")


def _address(value: str | None) -> str | None:
    return parse_address(value) if value else None


class NotifierSettings(ServiceSettings, MailSettings, OperationsAuthSettings):
    """What notifier reads from its environment."""

    service: ClassVar[str] = "notifier"

    # The outbox's workers hold ten for as long as they run; each message and the consumer need one more at times.
    database_pool_size: int = Field(16, ge=14, le=100, description="Connections to the database kept in the pool.")

    notify_level: int = Field(1, ge=0, description="Least `data_protection_access` of who is told of requests.")
    notify_max_per_hour: int = Field(
        60,
        ge=0,
        description="Messages an administrator gets in an hour before requests for unmatched addresses, and repeats "
        "for an account they were told of, wait for a digest. 0 is no limit.",
    )
    fallback_email: Annotated[str | None, AfterValidator(_address)] = Field(
        None, description="Who gets the message when nobody is eligible."
    )
    public_recovery_url: Annotated[str, AfterValidator(_web_address)] = Field(
        description="Where the administrators' console is; named in the message."
    )
    organisation: str = Field(
        "Readmit", min_length=1, max_length=200, description="Name of the organisation, shown in messages."
    )
    support_contact: str = Field("", max_length=200, description="Whom to ask about a message; may be empty.")
