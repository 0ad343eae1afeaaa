"""Intake's settings (contract section 10)."""

from __future__ import annotations

from typing import Any, ClassVar

from limits import RateLimitItem
from pydantic import Field, field_validator

from services.intake.adapters.limits import LimitItems, parse_limit, shared_store
from services.intake.domain.client_address import IpNetwork, ProxyHeader, parse_trusted
from shared.kit.http.settings import AuthSettings
from shared.kit.settings import CommaList, ServiceSettings
from shared.web.csrf import origin_of
from shared.web.headers import ContentPolicy
from shared.web.settings import PageSettings

_EMPTY_IS_OFF: dict[str, Any] = {"empty_is_off": True}


class IntakeSettings(ServiceSettings, AuthSettings, PageSettings):
    """What intake reads from the environment."""

    service: ClassVar[str] = "intake"

    public_intake_url: str = Field(description="Where people reach intake's page, as https://help.example.org.")
    signin_url: str | None = Field(None, description="The sign-in page, linked from intake's page.")
    frame_ancestors: CommaList = Field(
        (), description="Origins that may show intake's page in a frame, comma separated. Nobody unless set."
    )

    trusted_proxies: CommaList = Field(
        (), description="Networks (CIDR) of proxies whose word on a client's address is taken, comma separated."
    )
    trusted_proxy_header: ProxyHeader = Field(
        ProxyHeader.X_FORWARDED_FOR, description="The header that they write: X-Forwarded-For or Forwarded."
    )
    rate_limit_url: str | None = Field(
        None, description="Valkey or Redis that replicas share their counts in; in process otherwise."
    )
    intake_limit_network: str = Field(
        "10 per 10 minutes",
        json_schema_extra=_EMPTY_IS_OFF,
        description="Requests from an IPv4 address or IPv6 /64; beyond it 429. Empty is off.",
    )
    intake_limit_address: str = Field(
        "3 per hour",
        json_schema_extra=_EMPTY_IS_OFF,
        description="Requests for an email address from one network; beyond it recorded, not told. Empty is off.",
    )
    intake_limit_address_total: str = Field(
        "10 per hour",
        json_schema_extra=_EMPTY_IS_OFF,
        description="Requests for an email address from anywhere; beyond it recorded, not told. Empty is off.",
    )
    intake_limit_total: str = Field(
        "100 per second",
        json_schema_extra=_EMPTY_IS_OFF,
        description="Requests of everybody together; beyond it 503. Empty is off.",
    )

    intake_high_water: int = Field(
        2_000_000,
        ge=0,
        description="Messages waiting for Kafka from which on events are answered 503, lest they fill the disk;"
        " requests are still taken. 0 is off.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_trusted(value)
        return value

    @field_validator("trusted_proxy_header", mode="before")
    @classmethod
    def _header_in_any_case(cls, value: object) -> object:
        by_name = {header.value.lower(): header for header in ProxyHeader}
        return by_name.get(value.lower(), value) if isinstance(value, str) else value

    @field_validator("intake_limit_network", "intake_limit_address", "intake_limit_address_total", "intake_limit_total")
    @classmethod
    def _limits_can_be_read(cls, value: str) -> str:
        try:
            parse_limit(value)
        except ValueError:
            raise ValueError("is not a limit such as '10 per 10 minutes'") from None
        return value

    @field_validator("rate_limit_url")
    @classmethod
    def _store_is_known(cls, value: str | None) -> str | None:
        if value is not None:
            shared_store(value)
        return value

    @field_validator("public_intake_url")
    @classmethod
    def _public_url_has_an_origin(cls, value: str) -> str:
        origin_of(value)
        return value

    @field_validator("signin_url")
    @classmethod
    def _signin_url_is_a_link(cls, value: str | None) -> str | None:
        if value is not None:
            origin_of(value)  # and so no javascript: address
        return value

    @field_validator("frame_ancestors")
    @classmethod
    def _ancestors_are_sources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        ContentPolicy(frame_ancestors=value).header()
        return value

    def proxies(self) -> tuple[IpNetwork, ...]:
        return parse_trusted(self.trusted_proxies)

    def limits(self) -> LimitItems:
        def read(text: str) -> RateLimitItem | None:
            return parse_limit(text)

        return LimitItems(
            network=read(self.intake_limit_network),
            address=read(self.intake_limit_address),
            address_total=read(self.intake_limit_address_total),
            total=read(self.intake_limit_total),
        )
