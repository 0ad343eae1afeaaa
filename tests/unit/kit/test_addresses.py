"""What counts as one email address, and when two are the same (CVE-2023-7028, CVE-2019-19844)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.kit.addresses import (
    AddressHasher,
    InvalidAddress,
    normalise_address,
    parse_address,
    wire_address,
)
from shared.kit.settings import KeyRing
from shared.schemas.values import check_address

INJECTIONS = [
    "a@x.org,b@y.org", "a@x.org, b@y.org", "a@x.org;b@y.org", "a@x.org b@y.org", "a@x.org\tb@y.org",
    "a@x.org\r\nBcc: b@y.org", "a@x.org\nb@y.org", "a@x.org\rb@y.org", "a@x.org\x00b@y.org", "a@x.org%0aBcc:b@y.org",
    "a\r\n@x.org", "a@x.org\n", "\na@x.org", "a@x.org\u2028b@y.org", "a@x.org\x85b@y.org", "a@x.org\x0bb",
    "a\x1c@x.org",
    "<a@x.org>", "<a@x.org>b@y.org", "A <a@x.org>", "a@x.org>", "a@x.org> ORCPT=b@y.org", "a@x.org<b@y.org>",
    "a(b@y.org)@x.org", "a@x.org(comment)", "a@(comment)x.org", '"a"@x.org', '"a@y.org"@x.org', '"a b"@x.org',
    '"a\\"@x.org', "@y.org:a@x.org", "a@x.org@y.org", "a@@x.org", "@x.org", "a@", "a", "", " ", "@", "a b@x.org",
    "mailto:a@x.org ?bcc=b@y.org", "group:a@x.org;", "a@[127.0.0.1]", "a@[IPv6:::1]", "a@x..org", "a@.x.org",
    "a@x.org.",
    ".a@x.org", "a.@x.org", "a..b@x.org", "a@-x.org", "a@x-.org", "a@x_y.org", "a@x/y.org", "a@x\\y.org", "a\\@x.org",
    "\u202ea@x.org", "a\u200b@x.org", "a@x\u00ad.org", "a\ufeff@x.org", "a@xn--a.org", "a\ud800@x.org", "a@x.org:25",
    "a\u00a0@x.org", "a@x.org\u3000b@y.org", "a\u037e@x.org",
]  # fmt: skip


@pytest.mark.parametrize("text", INJECTIONS, ids=ascii)
def test_what_is_not_one_plain_address(text: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        parse_address(text)
    assert "x.org" not in str(caught.value), "the address is not quoted"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("a@x.org", "a@x.org"), (" a@x.org\t", "a@x.org"), ("A.b+c@X.org", "A.b+c@x.org"), ("a%b!c=d@x.org",
        "a%b!c=d@x.org"),
        ("o'brien@x.org", "o'brien@x.org"), ("ünal@bücher.example", "ünal@bücher.example"),
        ("a@xn--bcher-kva.example", "a@bücher.example"), ("a@localhost", "a@localhost"), ("a@corp.local",
        "a@corp.local"),
        ("u\u0308@x.org", "ü@x.org"), ("用户@例え.jp", "用户@例え.jp"), ("{a}@x.org", "{a}@x.org"),
    ],
)  # fmt: skip
def test_what_is_one(text: str, parsed: str) -> None:
    assert parse_address(text) == parsed


def test_lengths() -> None:
    domain = ".".join(["d" * 63, "d" * 63, "d" * 57])
    assert len(f"{'a' * 64}@{domain}.org") == 254
    assert parse_address(f"{'a' * 64}@{domain}.org")
    for text in (
        f"{'a' * 64}@{domain}d.org",
        f"{'a' * 65}@x.org",
        "a@" + "d" * 64 + ".org",
        "a" * 10_000_000 + "@x.org",
    ):
        with pytest.raises(InvalidAddress):
            parse_address(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mike@x.org", "m\u0131ke@x.org"),  # dotless i
        ("MIKE@x.org", "M\u0130KE@x.org"),  # dotted I
        ("mike@x.org", "mi\u212ae@x.org"),  # Kelvin sign, K to NFC and to lower()
        ("mike@kx.org", "mike@\u212ax.org"),
        ("strasse@x.org", "straße@x.org"),
        ("a@strasse.de", "a@straße.de"),  # IDNA 2003 makes these equal
        ("fi@x.org", "\ufb01@x.org"),  # ligature
        ("a@fi.example", "a@\ufb01.example"),
        ("a@x.org", "\uff41@x.org"),  # full width
        ("a@x.org", "a@\uff58.org"),
        ("a@x.org", "\u0430@x.org"),  # Cyrillic
        ("a@apple.org", "a@\u0430pple.org"),
        ("ss@x.org", "\u017fs@x.org"),  # long s
        ("o@x.org", "\u00ba@x.org"),  # ordinal indicator
        ("1@x.org", "\u00b9@x.org"),  # superscript
        ("a.b@x.org", "ab@x.org"),
        ("a+b@x.org", "a@x.org"),
    ],
    ids=ascii,
)
def test_look_alikes_are_somebody_else(one: str, other: str) -> None:
    """CVE-2019-19844: a stranger's address that becomes an account's."""
    hasher = AddressHasher(KeyRing((b"k" * 32,)))
    assert normalise_address(one) != normalise_address(other)
    assert hasher(one) != hasher(other)
    try:
        read = parse_address(other)
    except InvalidAddress:
        return
    assert normalise_address(read) != normalise_address(one), "nor does reading it make them the same"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mike@Example.ORG", "mike@example.org"),
        ("\u00fcnal@x.org", "u\u0308nal@x.org"),
        ("ÜNAL@x.org", "ünal@x.org"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@BÜCHER.example", "a@XN--BCHER-KVA.EXAMPLE"),
        ("a@bu\u0308cher.example", "a@bücher.example"),
        ("ẞ@x.org", "ß@x.org"),
    ],
    ids=ascii,
)
def test_spellings_of_one_address_are_the_same(one: str, other: str) -> None:
    hasher = AddressHasher(KeyRing((b"k" * 32,)))
    assert normalise_address(one) == normalise_address(other)
    assert hasher(one) == hasher(other)


LOCAL = st.text(st.characters(codec="utf-8", max_codepoint=0x2FFF), min_size=1, max_size=8)
LABEL = st.text(
    st.one_of(st.sampled_from("ab1-\u00b7\u00df\u212a\ufb01\u0131\u05f3\u30fb\u0131"), st.characters(codec="utf-8")),
    min_size=1, max_size=5,
)  # fmt: skip
ADDRESSES = st.builds(
    "{}@{}".format,
    st.one_of(LOCAL, st.just("a")),
    st.one_of(st.just("x.org"), st.lists(LABEL, min_size=1).map(".".join)),
)


@given(ADDRESSES)
@example("a@l\u00b7l.cat")
@example("a@\u05d0\u05f3.org")
@example("\u1e9e@x.org")
def test_what_is_accepted_can_be_published_and_stays_the_same(text: str) -> None:
    try:
        parsed = parse_address(text)
    except InvalidAddress:
        return
    assert check_address(parsed) == parsed
    assert parse_address(parsed) == parsed
    assert normalise_address(parsed) == normalise_address(text.strip(" \t"))
    assert unicodedata.is_normalized("NFC", parsed)
    assert wire_address(parsed).isascii() or not parsed.partition("@")[0].isascii()


@given(ADDRESSES)
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise_address(text)
    assert normalise_address(once) == once


@given(st.text("abcXYZ019.+-_'", min_size=1, max_size=12), st.text("abcXYZ019-", min_size=1, max_size=12))
def test_case_never_matters(local: str, domain: str) -> None:
    address = f"{local}@{domain}.org"
    assert normalise_address(address) == normalise_address(address.upper()) == address.lower()


def test_hashes_stay_findable_when_keys_rotate() -> None:
    old, new = b"o" * 32, b"n" * 32
    before, after = AddressHasher(KeyRing((old,))), AddressHasher(KeyRing((new, old)))
    assert after("a@x.org") != before("a@x.org")
    assert after.all("A@X.org") == (after("a@x.org"), before("a@x.org"))
    assert before("a@x.org") != before("b@x.org")
    assert len(before("a@x.org")) == 32
    assert set(before("a@x.org")) <= set("0123456789abcdef")


def test_only_what_must_needs_smtputf8() -> None:
    assert wire_address("a@bücher.example") == "a@xn--bcher-kva.example"
    assert wire_address("A@Example.org") == "A@example.org"
    assert wire_address("ü@bücher.example") == "ü@bücher.example"
