"""How codes look, how they are read, and what is kept of them."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recovery.domain.secrets import (
    CODE_LENGTH,
    Sealed,
    SecretSealer,
    new_code,
    read_code,
    selector_of,
    show_code,
)
from shared.schemas.crockford import ALPHABET

codes = st.text(ALPHABET, min_size=CODE_LENGTH, max_size=CODE_LENGTH)


def sealer(*keys: bytes) -> SecretSealer:
    return SecretSealer(keys or (b"k" * 32,), secrets.token_bytes)


def test_a_code_is_thirteen_characters_of_65_random_bits() -> None:
    assert new_code(lambda n: b"\xff" * n) == "Z" * 13
    assert new_code(lambda n: b"\x00" * n) == "0" * 13
    made = {new_code(secrets.token_bytes) for _ in range(500)}
    assert len(made) == 500
    assert all(len(code) == CODE_LENGTH and set(code) <= set(ALPHABET) for code in made)
    # Every character varies over the whole alphabet: no bit is lost.
    assert all(len({code[place] for code in made}) == 32 for place in range(CODE_LENGTH))


@given(codes)
def test_a_shown_code_is_read_back(code: str) -> None:
    shown = show_code(code)
    assert [len(part) for part in shown.split("-")] == [4, 4, 5]
    assert read_code(shown) == code
    assert read_code(shown.lower()) == code
    assert read_code(f"  {shown.replace('-', ' ')} ") == code
    assert read_code(code.replace("0", "o").replace("1", "l")) == code
    assert read_code(code.replace("0", "O").replace("1", "I")) == code
    assert read_code("\u2013".join(shown.split("-"))) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "ABCD",
        "ABCD-EFGH-JKMN",
        "ABCD-EFGH-JKMNPQ",
        "U" * 13,
        "A" * 5000,
        "ABCD\0EFGHJKMNP",
        "\ud800",
        "ı" * 13,
    ],
)
def test_what_is_no_code_is_none(text: str) -> None:
    assert read_code(text) is None


def test_the_first_four_characters_select() -> None:
    assert selector_of("ABCDEFGHJKMNP") == "ABCD"


def test_what_is_kept_recognises_the_secret_and_nothing_else() -> None:
    ours = sealer()
    sealed = ours.seal("ABCDEFGHJKMNP", "credential-1")
    assert ours.matches(sealed, "ABCDEFGHJKMNP", "credential-1")
    assert not ours.matches(sealed, "ABCDEFGHJKMNQ", "credential-1")
    # Bound to its row (CVE-2023-26481): moved to another account's, it opens nothing.
    assert not ours.matches(sealed, "ABCDEFGHJKMNP", "credential-2")
    assert not ours.matches(None, "ABCDEFGHJKMNP", "credential-1")
    assert b"ABCDEFGHJKMNP" not in sealed.digest + sealed.salt
    assert "digest" not in repr(sealed)


def test_the_same_secret_is_kept_differently_each_time() -> None:
    ours = sealer()
    assert ours.seal("ABCDEFGHJKMNP", "c").digest != ours.seal("ABCDEFGHJKMNP", "c").digest


def test_old_keys_still_recognise_and_unknown_ones_do_not() -> None:
    old = sealer(b"o" * 32)
    sealed, lookup = old.seal("token", "c"), old.lookups("token")[0]
    both = sealer(b"n" * 32, b"o" * 32)
    assert both.matches(sealed, "token", "c")
    assert lookup in both.lookups("token")
    assert both.seal("token", "c").key_id != sealed.key_id
    assert not sealer(b"n" * 32).matches(sealed, "token", "c")
    assert not sealer(b"n" * 32).matches(Sealed("nobody", b"", b""), "token", "c")
