"""What kind of address an IP address is (RFC 6890 and its registries): only public ones have a place and a network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from shared.schemas.enrichment import AddressKind

# The first that contains the address decides.
_KINDS: tuple[tuple[AddressKind, tuple[str, ...]], ...] = (
    (AddressKind.UNSPECIFIED, ("0.0.0.0/32", "::/128")),
    (AddressKind.LOOPBACK, ("127.0.0.0/8", "::1/128")),
    (AddressKind.PRIVATE, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")),
    (AddressKind.CARRIER_GRADE_NAT, ("100.64.0.0/10",)),
    (AddressKind.LINK_LOCAL, ("169.254.0.0/16", "fe80::/10")),
    (
        AddressKind.DOCUMENTATION,
        ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    ),
    (AddressKind.MULTICAST, ("224.0.0.0/4", "ff00::/8")),
    # NAT64 (RFC 6052) lies outside 2000::/3 and reaches the public IPv4 internet all the same.
    (AddressKind.PUBLIC, ("64:ff9b::/96",)),
    (
        AddressKind.RESERVED,
        (
            "0.0.0.0/8",
            "192.0.0.0/24",
            "198.18.0.0/15",
            "240.0.0.0/4",
            "2001:2::/48",
        ),
    ),
    (AddressKind.PUBLIC, ("0.0.0.0/0", "2000::/3")),
)
_NETWORKS: tuple[tuple[IPv4Network | IPv6Network, AddressKind], ...] = tuple(
    (ip_network(text), kind) for kind, texts in _KINDS for text in texts
)

_WORDS = {
    AddressKind.PUBLIC: "public address",
    AddressKind.PRIVATE: "private address",
    AddressKind.LOOPBACK: "loopback address",
    AddressKind.LINK_LOCAL: "link-local address",
    AddressKind.CARRIER_GRADE_NAT: "carrier-grade NAT address",
    AddressKind.DOCUMENTATION: "documentation address",
    AddressKind.MULTICAST: "multicast address",
    AddressKind.RESERVED: "reserved address",
    AddressKind.UNSPECIFIED: "unspecified address",
}


def address_kind(ip: str) -> AddressKind:
    """Tell what kind of address this is. Raises ValueError for what is none."""
    address = _unmapped(ip)
    for network, kind in _NETWORKS:
        if address.version == network.version and address in network:
            return kind
    return AddressKind.RESERVED


def in_words(kind: AddressKind) -> str:
    """Name the kind as a notification does."""
    return _WORDS[kind]


def network_prefix(ip: str) -> str:
    """Give the /24 of an IPv4 address or the /48 of an IPv6 one: what counts as one network where the AS is unknown."""
    address = _unmapped(ip)
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


def _unmapped(ip: str) -> IPv4Address | IPv6Address:
    address = ip_address(ip)
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
