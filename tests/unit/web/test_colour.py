"""Text is legible in both colour schemes (WCAG 2.2, 1.4.3 and 1.4.11), computed from the stylesheet itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.web.colour import TEXT_CONTRAST, accent_stylesheet, contrast
from shared.web.pages import STATIC
from shared.web.templating import TEMPLATES

_CSS = (STATIC / "readmit.css").read_text()
_KINDS = ("ok", "caution", "danger", "info", "neutral")
_TEXT = [
    *[(ink, surface) for ink in ("ink", "muted", "accent", "danger") for surface in ("bg", "surface")],
    *[(kind, f"{kind}-soft") for kind in _KINDS],
    *[("ink", f"{kind}-soft") for kind in _KINDS],
    ("accent-ink", "accent"),
    ("surface", "danger"),
]
# Borders of fields and focus rings: 3 to 1.
_SHAPES = [(shape, surface) for shape in ("field-line", "accent") for surface in ("bg", "surface")]


def tokens(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root\s*\{(.*?)\}", _CSS, re.DOTALL)[:2]
    found = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", light))
    return found | (dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", dark)) if scheme == "dark" else {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "surface"), _TEXT)
def test_text_is_legible(scheme: str, ink: str, surface: str) -> None:
    colours = tokens(scheme)
    assert contrast(colours[ink], colours[surface]) >= TEXT_CONTRAST


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("shape", "surface"), _SHAPES)
def test_shapes_that_matter_are_seen(scheme: str, shape: str, surface: str) -> None:
    colours = tokens(scheme)
    assert contrast(colours[shape], colours[surface]) >= 3


def test_both_schemes_name_the_same_colours() -> None:
    assert tokens("light").keys() == tokens("dark").keys()


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#777777", "#ffffff") < TEXT_CONTRAST


@given(st.integers(0, 0xFFFFFF).map("#{:06x}".format))
def test_any_accent_becomes_legible(accent: str) -> None:
    rules = re.findall(r"--accent:(#\w+);--accent-ink:(#\w+)", accent_stylesheet(accent))
    for (colour, ink), scheme in zip(rules, ("light", "dark"), strict=True):
        assert contrast(colour, ink) >= TEXT_CONTRAST
        for surface in ("bg", "surface"):
            assert contrast(colour, tokens(scheme)[surface]) >= TEXT_CONTRAST


def test_an_accent_that_is_legible_already_is_left_alone() -> None:
    assert "--accent:#14559e;" in accent_stylesheet("#14559e")


@pytest.mark.parametrize("accent", ["red", "#fff", "#14559e;}", "url(x)", "", "#14559g"])
def test_nothing_but_a_colour_gets_into_the_stylesheet(accent: str) -> None:
    with pytest.raises(ValueError, match="#rrggbb"):
        accent_stylesheet(accent)


def test_the_stylesheet_is_small_and_loads_nothing() -> None:
    assert len(_CSS.encode()) < 20_000
    assert "url(" not in _CSS
    assert "@import" not in _CSS


def test_directions_are_logical() -> None:
    physical = re.compile(
        r"(?:margin|padding|border)-(?:left|right)|(?<![\w-])(?:left|right):|text-align:\s*(?:left|right)"
    )
    assert physical.findall(_CSS) == []


def test_the_mails_colours_are_the_pages() -> None:
    """Mail readers know no custom properties, so its templates repeat the tokens."""
    known = {value for scheme in ("light", "dark") for value in tokens(scheme).values()} | {"#e2e7ee"}
    for name in ("base.html", "parts.html"):
        used = set(re.findall(r"#[0-9a-f]{6}\b", (TEMPLATES / "mail" / name).read_text()))
        assert used <= known, name
