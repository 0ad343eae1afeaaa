"""Kinds of addresses, at the edges of their ranges."""

from __future__ import annotations

import pytest

from services.enrichment.domain.address_kind import address_kind, in_words, network_prefix
from shared.schemas.enrichment import AddressKind


@pytest.mark.parametrize(
    ("ip", "kind"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.0.0.1", "reserved"),
        ("9.255.255.255", "public"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("11.0.0.0", "public"),
        ("100.63.255.255", "public"),
        ("100.64.0.0", "carrier-grade-nat"),
        ("100.127.255.255", "carrier-grade-nat"),
        ("100.128.0.0", "public"),
        ("127.0.0.0", "loopback"),
        ("127.255.255.255", "loopback"),
        ("128.0.0.0", "public"),
        ("169.254.0.0", "link-local"),
        ("169.255.0.0", "public"),
        ("172.15.255.255", "public"),
        ("172.16.0.0", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.0", "public"),
        ("192.0.0.1", "reserved"),
        ("192.0.2.1", "documentation"),
        ("192.168.0.0", "private"),
        ("192.169.0.0", "public"),
        ("198.18.0.0", "reserved"),
        ("198.20.0.0", "public"),
        ("198.51.100.255", "documentation"),
        ("203.0.113.0", "documentation"),
        ("203.0.114.0", "public"),
        ("224.0.0.0", "multicast"),
        ("240.0.0.0", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::2", "reserved"),
        ("::ffff:10.1.2.3", "private"),
        ("64:ff9b::102:304", "public"),
        ("2001:2::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("2a01:5980::1", "public"),
        ("4000::", "reserved"),
        ("fc00::", "private"),
        ("fdff::1", "private"),
        ("fe00::1", "reserved"),
        ("fe80::1", "link-local"),
        ("ff02::1", "multicast"),
    ],
)
def test_kind(ip: str, kind: str) -> None:
    assert address_kind(ip) == kind


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (AddressKind.PRIVATE, "private address"),
        (AddressKind.LOOPBACK, "loopback address"),
        (AddressKind.CARRIER_GRADE_NAT, "carrier-grade NAT address"),
        (AddressKind.DOCUMENTATION, "documentation address"),
    ],
)
def test_the_words_of_the_contract(kind: AddressKind, words: str) -> None:
    assert in_words(kind) == words


def test_every_kind_has_words() -> None:
    assert all(in_words(kind) for kind in AddressKind)


@pytest.mark.parametrize(
    ("ip", "prefix"),
    [
        ("5.146.7.255", "5.146.7.0/24"),
        ("2a01:5980:1:2::3", "2a01:5980:1::/48"),
        ("::ffff:5.146.7.1", "5.146.7.0/24"),
    ],
)
def test_prefix(ip: str, prefix: str) -> None:
    assert network_prefix(ip) == prefix
