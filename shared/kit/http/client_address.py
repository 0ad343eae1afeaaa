"""Where a request comes from: the connection's address, or what trusted proxies vouch for."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Protocol

from shared.schemas.values import normalise_ip


class _Headers(Protocol):
    def getlist(self, key: str) -> list[str]: ...


class ProxyHeader(StrEnum):
    """The one header that is read; a proxy that writes one leaves the other as the client sent it."""

    X_FORWARDED_FOR = "X-Forwarded-For"
    FORWARDED = "Forwarded"


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(values: Sequence[str]) -> tuple[Network, ...]:
    """Networks in CIDR notation. Raises ValueError, also for a wildcard: it would believe everybody (hazard 16)."""
    return tuple(ipaddress.ip_network(value) for value in values)


class ClientAddress:
    """Walks from the connection outwards for as long as the address seen is a trusted proxy's.

    The first address that is no trusted proxy is the client; what stands left of it, the client may have written.
    """

    def __init__(self, trusted: Sequence[Network] = (), header: ProxyHeader = ProxyHeader.X_FORWARDED_FOR) -> None:
        self._trusted = trusted
        self._header = header

    def __call__(self, peer: str | None, headers: _Headers) -> str:
        """The client's address in its shortest form."""
        try:
            address = normalise_ip(peer or "")
        except ValueError:
            return "127.0.0.1"  # a Unix socket: nobody from outside
        for claimed in self._claims(headers):
            if not self._is_trusted(address):
                break
            try:
                address = normalise_ip(claimed)
            except ValueError:
                break
        return address

    def _is_trusted(self, address: str) -> bool:
        parsed = ipaddress.ip_address(address)
        return any(parsed.version == network.version and parsed in network for network in self._trusted)

    def _claims(self, headers: _Headers) -> Iterator[str]:
        """What the header says, nearest first."""
        items = ",".join(headers.getlist(self._header.value)).split(",")
        for item in reversed(items):
            yield _forwarded_for(item) if self._header is ProxyHeader.FORWARDED else _without_port(item.strip())


def _forwarded_for(element: str) -> str:
    """The `for` of one element of `Forwarded` (RFC 7239, section 4); empty where there is none."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return _without_port(value.strip().strip('"'))
    return ""


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def network_of(address: str) -> str:
    """What limits count: an IPv4 address as /32, an IPv6 /64, in CIDR notation."""
    parsed = ipaddress.ip_address(address)
    return str(ipaddress.ip_network((address, 32 if parsed.version == 4 else 64), strict=False))
