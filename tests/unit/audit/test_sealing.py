"""What keys open, and what they don't."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.sealing import CannotOpen, KeyWrapper, seal, unseal

KEY, OTHER = b"k" * 32, b"o" * 32


@given(st.binary(max_size=4000), st.binary(max_size=50))
def test_what_was_sealed_is_opened(message: bytes, context: bytes) -> None:
    assert unseal(seal(message, [KEY], context), [KEY], context) == message


def test_of_several_keys_each_is_needed() -> None:
    sealed = seal(b"message", [KEY, OTHER], b"")
    assert unseal(sealed, [KEY, OTHER], b"") == b"message"
    for keys in ([KEY], [OTHER], [OTHER, KEY], []):
        with pytest.raises(CannotOpen):
            unseal(sealed, keys, b"")


def test_no_other_key_context_or_change_opens_it() -> None:
    sealed = seal(b"message", [KEY], b"event 1")
    with pytest.raises(CannotOpen, match="another"):
        unseal(sealed, [OTHER], b"event 1")
    with pytest.raises(CannotOpen, match="changed"):
        unseal(sealed, [KEY], b"event 2")
    with pytest.raises(CannotOpen, match="changed"):
        unseal(replace(sealed, ciphertext=sealed.ciphertext[:-1]), [KEY], b"event 1")
    with pytest.raises(CannotOpen, match="hashed"):
        unseal(replace(sealed, plaintext_hmac=b"\x00" * 32), [KEY], b"event 1")


def test_sealing_twice_gives_nothing_to_compare() -> None:
    first, second = seal(b"message", [KEY], b""), seal(b"message", [KEY], b"")
    assert {first.ciphertext, first.plaintext_hmac, first.commitment}.isdisjoint(
        {second.ciphertext, second.plaintext_hmac, second.commitment}
    )


def test_after_a_rotation_old_wrappings_open() -> None:
    wrapped = KeyWrapper([b"1" * 32]).wrap(KEY, "s_1")
    assert KeyWrapper([b"2" * 40, b"1" * 32]).unwrap(wrapped, "s_1") == KEY
    with pytest.raises(CannotOpen):
        KeyWrapper([b"2" * 32]).unwrap(wrapped, "s_1")
    with pytest.raises(CannotOpen):
        KeyWrapper([b"1" * 32]).unwrap(wrapped, "s_2")
