"""How pages are made to look like the organisation's own."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.web.settings import PageSettings


def test_without_any_it_is_plain() -> None:
    branding = PageSettings().branding()
    assert (branding.accent, branding.logo_url, branding.support_contact) == (None, None, "")


@pytest.mark.parametrize(("name", "kind"), [("logo.svg", "image/svg+xml"), ("LOGO.PNG", "image/png")])
def test_a_logo_is_part_of_the_page(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x89 a picture")
    head, _, content = str(PageSettings(logo_path=path).branding().logo_url).partition(",")
    assert head == f"data:{kind};base64"
    assert base64.b64decode(content) == b"\x89 a picture"


def test_a_logo_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="does not point to a file"):
        PageSettings(logo_path=tmp_path / "missing.svg")
    (tmp_path / "logo.gif").write_bytes(b"GIF89a")
    with pytest.raises(ValidationError, match=r"\.svg or a \.png"):
        PageSettings(logo_path=tmp_path / "logo.gif")
    (tmp_path / "big.png").write_bytes(b"x" * (64 * 1024 + 1))
    with pytest.raises(ValidationError, match="64 KiB"):
        PageSettings(logo_path=tmp_path / "big.png")


@pytest.mark.parametrize("colour", ["red", "#fff", "#12345g", "#123456;", ""])
def test_a_colour_is_six_digits(colour: str) -> None:
    with pytest.raises(ValidationError, match="#rrggbb"):
        PageSettings(accent_colour=colour)


def test_a_colour_reaches_the_page() -> None:
    assert PageSettings(accent_colour="#0a7d4f").branding().accent == "#0a7d4f"
