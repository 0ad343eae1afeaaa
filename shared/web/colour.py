"""Contrast after WCAG 2.2, and an organisation's accent colour made legible in both colour schemes."""

from __future__ import annotations

import re

# Success criterion 1.4.3: text of normal size.
TEXT_CONTRAST = 4.5

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_BLACK, _WHITE = "#0b1420", "#ffffff"
# The surfaces that accent-coloured text stands on in readmit.css, per scheme.
_LIGHT_SURFACES = ("#ffffff", "#f4f6f9")
_DARK_SURFACES = ("#18212d", "#0f151d")


def _channels(colour: str) -> tuple[int, int, int]:
    if not _HEX.fullmatch(colour):
        raise ValueError(f"a colour is written as #rrggbb, not {colour!r}")
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def luminance(colour: str) -> float:
    """Relative luminance, 0 (black) to 1 (white)."""

    def linear(channel: int) -> float:
        part = channel / 255
        return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

    red, green, blue = (linear(channel) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _mix(colour: str, towards: str, share: float) -> str:
    pairs = zip(_channels(colour), _channels(towards), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _legible(colour: str, surfaces: tuple[str, ...], towards: str) -> str:
    for step in range(101):
        mixed = _mix(colour, towards, step / 100)
        if all(contrast(mixed, surface) >= TEXT_CONTRAST for surface in surfaces):
            return mixed
    raise AssertionError("black on white and white on black are legible")


def accent_stylesheet(accent: str) -> str:
    """Rules that set ``--accent`` and the text upon it for both schemes, moved only as far as legibility asks.

    Raises ValueError unless the colour is ``#rrggbb``: it comes from settings and goes into a stylesheet.
    """

    def rule(surfaces: tuple[str, ...], towards: str) -> str:
        colour = _legible(accent, surfaces, towards)
        ink = max((_BLACK, _WHITE), key=lambda candidate: contrast(candidate, colour))
        return f":root{{--accent:{colour};--accent-ink:{ink}}}"

    light = rule(_LIGHT_SURFACES, "#000000")
    dark = rule(_DARK_SURFACES, "#ffffff")
    return f"{light}\n@media (prefers-color-scheme: dark){{{dark}}}\n"
