"""What looks like another address, and what does not."""

from __future__ import annotations

import pytest

from services.enrichment.domain.confusables import mixed_scripts, skeleton


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("аlice@example.org", "alice@example.org"),  # Cyrillic а
        ("alice@еxample.org", "alice@example.org"),  # Cyrillic е in the domain
        ("alice@xn--xample-2of.org", "alice@example.org"),  # the same, as an A-label
        ("aIice@example.org", "alice@example.org"),  # capital I
        ("a1ice@example.org", "alice@example.org"),
        ("b0b@example.org", "bob@example.org"),
        ("martha@exarnple.org", "martha@example.org"),  # rn
        ("ａlice@example.org", "alice@example.org"),  # full width
        ("älice@example.org", "alice@example.org"),
        ("ALICE@example.org", "ALlCE@example.org"),
        ("οlga@example.org", "olga@example.org"),  # Greek omicron
        ("mıke@example.org", "mike@example.org"),  # dotless i
    ],
)
def test_look_alike(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alice@example.org", "alicia@example.org"),
        ("alice@example.org", "alice@example.net"),
        ("alice@example.org", "alice.b@example.org"),
        ("lia@example.org", "ila@example.org"),
    ],
)
def test_different(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


@pytest.mark.parametrize(
    ("address", "scripts"),
    [
        ("alice@example.org", ()),
        ("аlice@example.org", ("Cyrillic", "Latin")),
        ("иванова@example.org", ()),
        ("ivanova.иванова@example.org", ()),
        ("alice@exаmple.org", ("Cyrillic", "Latin")),
        ("alice@xn--exmple-4nf.org", ("Cyrillic", "Latin")),
        ("αlpha@example.org", ("Greek", "Latin")),
        ("山田たろう@example.org", ()),
        ("山田abc@example.org", ()),
        ("山田а@example.org", ("Cyrillic", "Han")),
        ("jürgen1@example.org", ()),
        ("محمد@example.org", ()),
    ],
)
def test_mixed_scripts(address: str, scripts: tuple[str, ...]) -> None:
    assert mixed_scripts(address) == scripts
