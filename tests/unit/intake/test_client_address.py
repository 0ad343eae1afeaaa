"""Whose address counts (CVE-2023-36456, GHSA-hm36-ffrh-c77c)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.client_address import (
    UNKNOWN_PEER,
    ProxyHeader,
    client_address,
    fold,
    network_of,
    parse_trusted,
)

XFF, FORWARDED = ProxyHeader.X_FORWARDED_FOR, ProxyHeader.FORWARDED
PROXIES = parse_trusted(["10.0.0.0/8", "2001:db8:ffff::/48"])


def found(peer: str | None, *lines: str, header: ProxyHeader = XFF) -> str:
    return str(client_address(peer, lines, PROXIES, header))


def test_without_a_trusted_proxy_the_connection_counts() -> None:
    assert found("203.0.113.7", "198.51.100.1") == "203.0.113.7"


def test_a_trusted_proxy_is_believed_one_hop() -> None:
    assert found("10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert found("10.0.0.1", "1.1.1.1, 198.51.100.1") == "198.51.100.1"


def test_a_chain_of_trusted_proxies_is_walked_to_its_end() -> None:
    assert found("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.2.2.2", "10.3.3.3") == "198.51.100.1"
    assert found("10.0.0.1", "10.9.9.9, 10.2.2.2") == "10.9.9.9"


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("198.51.100.1:4711", "198.51.100.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("[::ffff:198.51.100.1]:80", "198.51.100.1"),
        ("  198.51.100.1\t", "198.51.100.1"),
    ],
)
def test_entries_may_have_ports_and_brackets(entry: str, address: str) -> None:
    assert found("10.0.0.1", entry) == address


@pytest.mark.parametrize(
    "entry",
    [
        "", "unknown", "_hidden", "localhost", "198.51.100", "198.51.100.1:", "198.51.100.1:123456", "198.51.100.1 x",
        "fe80::1%eth0", "[fe80::1%eth0]", "[2001:db8::1", "0x7f.1", "2130706433", "198.51.100.01", '"198.51.100.1"',
    ],
)  # fmt: skip
def test_what_is_no_address_ends_the_walk(entry: str) -> None:
    assert found("10.0.0.1", f"1.1.1.1, {entry}") == "10.0.0.1"


def test_the_peer_may_be_ipv4_mapped() -> None:
    assert found("::ffff:10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert found("::ffff:203.0.113.7", "198.51.100.1") == "203.0.113.7"


@pytest.mark.parametrize("peer", [None, "", "testclient", "/run/socket"])
def test_a_peer_without_an_address_is_believed_nothing(peer: str | None) -> None:
    assert found(peer, "198.51.100.1") == str(UNKNOWN_PEER)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ("For=198.51.100.1;proto=https;by=10.0.0.1", "198.51.100.1"),
        ('for=1.1.1.1, proto=https; for="198.51.100.1:47"', "198.51.100.1"),
        ('for="[2001:db8::1]:4711"', "2001:db8::1"),
        ('for=198.51.100.1;host="a, b;for=1.1.1.1"', "198.51.100.1"),
        (r'for="198.51.100\.1"', "198.51.100.1"),
        ("for=1.1.1.1, for=198.51.100.1, for=10.2.2.2", "198.51.100.1"),
        ("for=1.1.1.1, for=unknown", "10.0.0.1"),
        ("for=1.1.1.1, for=_hidden", "10.0.0.1"),
        ("for=1.1.1.1, proto=https", "10.0.0.1"),
        ("for=1.1.1.1, for=2.2.2.2;for=3.3.3.3", "10.0.0.1"),
        ('for=1.1.1.1, for="198.51.100.1', "10.0.0.1"),
        ("198.51.100.1", "10.0.0.1"),
    ],
)
def test_forwarded_is_read_after_rfc_7239(line: str, address: str) -> None:
    assert found("10.0.0.1", line, header=FORWARDED) == address


@pytest.mark.parametrize("text", ["*", "0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example.org", ""])
def test_nobody_can_trust_everybody(text: str) -> None:
    with pytest.raises(ValueError, match=r"CIDR|believe"):
        parse_trusted(["10.0.0.0/8", text])


def test_places() -> None:
    assert str(network_of(ipaddress.ip_address("203.0.113.7"))) == "203.0.113.7/32"
    assert str(network_of(ipaddress.ip_address("2001:db8:1:2:3:4:5:6"))) == "2001:db8:1:2::/64"


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(fold)
strangers = addresses.filter(lambda address: not any(address in network for network in PROXIES))
ours = st.ip_addresses(network="10.0.0.0/8")
garbage = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=60)


@given(forged=st.lists(garbage, max_size=5), real=strangers, hops=st.lists(ours, min_size=1, max_size=5))
def test_whatever_a_client_writes_its_own_address_is_found(
    forged: list[str], real: ipaddress.IPv4Address, hops: list[ipaddress.IPv4Address]
) -> None:
    *between, peer = hops
    # Each proxy appends whom it heard from: the client, then one another.
    line = ", ".join([*forged, str(real), *map(str, between)])
    assert client_address(str(peer), [line], PROXIES, XFF) == real


@given(forged=st.lists(garbage, max_size=5), peer=strangers)
def test_a_stranger_is_believed_nothing(forged: list[str], peer: ipaddress.IPv4Address) -> None:
    for header in ProxyHeader:
        assert client_address(str(peer), forged, PROXIES, header) == peer


@given(lines=st.lists(garbage, max_size=5), peer=st.one_of(ours, strangers))
def test_nothing_breaks_the_walk(lines: list[str], peer: ipaddress.IPv4Address) -> None:
    for header in ProxyHeader:
        client_address(str(peer), lines, PROXIES, header)


def _believes_the_leftmost(_: str, line: str) -> str:
    """The vulnerable twin: what `--forwarded-allow-ips=*` does."""
    return line.split(",")[0].strip()


def test_the_forgery_works_on_the_vulnerable_twin() -> None:
    line = "1.1.1.1, 198.51.100.1"
    assert _believes_the_leftmost("10.0.0.1", line) == "1.1.1.1"
    assert found("10.0.0.1", line) == "198.51.100.1"
