"""Where a request really comes from: the connection's peer, or what proxies that we trust say of it.

`X-Forwarded-For` and `Forwarded` (RFC 7239) are lists that each proxy appends to. Only what a trusted proxy appended is
evidence; everything to the left of it was in the request already and may be invented (CVE-2023-36456,
GHSA-hm36-ffrh-c77c). So the list is walked from the right, and the walk ends at the first address that is not a trusted
proxy's, or at the first entry that isn't an address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

UNKNOWN_PEER: IpAddress = ipaddress.IPv4Address("0.0.0.0")  # noqa: S104 (a Unix socket's peer has no address)

# Longer lists are nobody's chain of proxies, only work.
_MAX_HOPS = 32

# A parameter of a `Forwarded` element (RFC 7239, section 4): a token, "=", a token or a quoted string.
_PARAMETER = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s",;=]*)\s*')


class ProxyHeader(StrEnum):
    """The one header that trusted proxies write; a second one would be the client's to forge."""

    X_FORWARDED_FOR = "X-Forwarded-For"
    FORWARDED = "Forwarded"


def parse_trusted(texts: Collection[str]) -> tuple[IpNetwork, ...]:
    """Reads networks in CIDR notation.

    Raises:
        ValueError: one isn't, or it is everybody: who trusts all hops believes the leftmost, which the client wrote.
    """
    networks = []
    for text in texts:
        if text == "*":
            raise ValueError("'*' would believe whatever a client writes; name the proxies' networks")
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a network in CIDR notation") from None
        if network.prefixlen == 0:
            raise ValueError(f"{text} would believe whatever a client writes; name the proxies' networks")
        networks.append(network)
    return tuple(networks)


def fold(address: IpAddress) -> IpAddress:
    """The IPv4 address inside an IPv4-mapped IPv6 one (RFC 4291, section 2.5.5.2), so that both count as one."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def network_of(address: IpAddress) -> IpNetwork:
    """What a limit counts as one place: an IPv4 address, an IPv6 /64 (what a single home or host is given)."""
    return ipaddress.ip_network((address, 32 if address.version == 4 else 64), strict=False)


def client_address(
    peer: str | None, lines: Sequence[str], trusted: Collection[IpNetwork], header: ProxyHeader
) -> IpAddress:
    """The address that is vouched for, by the connection itself or by trusted proxies.

    Args:
        peer: the connection's other end; None where it has no address.
        lines: the values of the header, in the order received; several lines are one list (RFC 9110, section 5.3).
        trusted: the proxies' networks.
        header: which header `lines` are from.
    """
    try:
        current = fold(ipaddress.ip_address(peer or ""))
    except ValueError:
        return UNKNOWN_PEER
    hops = _forwarded_for(lines) if header is ProxyHeader.X_FORWARDED_FOR else _forwarded(lines)
    for _, entry in zip(range(_MAX_HOPS), hops, strict=False):
        if not _is_trusted(current, trusted):
            break
        address = _read_entry(entry)
        if address is None:
            break
        current = address
    return current


def _is_trusted(address: IpAddress, trusted: Collection[IpNetwork]) -> bool:
    return any(address in network for network in trusted)


def _forwarded_for(lines: Sequence[str]) -> Iterator[str]:
    """The entries, rightmost first."""
    for line in reversed(lines):
        yield from (entry.strip() for entry in reversed(line.split(",")))


def _forwarded(lines: Sequence[str]) -> Iterator[str]:
    """The `for` of each element, rightmost first; the empty text for an element that has no single one."""
    for line in reversed(lines):
        for element in reversed(_split_quoted(line, ",")):
            yield _for_of(element)


def _split_quoted(text: str, separator: str) -> list[str]:
    """Splits where the separator is not inside a quoted string; an open quote swallows the rest, and is malformed."""
    parts, start, quoted, escaped = [], 0, False, False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]


def _for_of(element: str) -> str:
    found = []
    for parameter in _split_quoted(element, ";"):
        match = _PARAMETER.fullmatch(parameter)
        if match is None:
            return ""
        if match[1].lower() == "for":
            found.append(match[2])
    if len(found) != 1:
        return ""
    value = found[0]
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


_WITH_PORT = re.compile(r"(?:\[(?P<bracketed>[^\[\]]*)\]|(?P<plain>[^:\[\]]*))(?::[0-9]{1,5})?")


def _read_entry(entry: str) -> IpAddress | None:
    """An address, with or without a port; None for anything else (`unknown`, `_hidden`, names, zones)."""
    match = _WITH_PORT.fullmatch(entry)
    text = entry if match is None else (match["bracketed"] or match["plain"] or "")
    if "%" in text:
        return None
    try:
        return fold(ipaddress.ip_address(text))
    except ValueError:
        return None
