"""The settings of services with pages."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, FilePath

from shared.web.colour import contrast
from shared.web.pages import Branding

_MOST_BYTES = 64 * 1024  # it is part of every page
_LOGOS = {".svg": "image/svg+xml", ".png": "image/png"}


def _colour(value: str | None) -> str | None:
    if value is not None:
        contrast(value, "#ffffff")
    return value


def _logo(value: Path | None) -> Path | None:
    if value is not None:
        if value.suffix.lower() not in _LOGOS:
            raise ValueError("must be an .svg or a .png file")
        if value.stat().st_size > _MOST_BYTES:
            raise ValueError("must be at most 64 KiB")
    return value


class PageSettings(BaseModel):
    """Mixed into the settings of a service with pages: how they look like the organisation's own."""

    organisation: str = Field("Your organisation", max_length=100, description="Its name, on pages and in mails.")
    support_contact: str = Field(
        "", max_length=300, description="Whom people ask who should not wait, on pages and in mails; may be empty."
    )
    accent_colour: Annotated[str | None, AfterValidator(_colour)] = Field(
        None, description="Colour of buttons and links, #rrggbb; too faint a one is made legible in each colour scheme."
    )
    logo_path: Annotated[FilePath | None, AfterValidator(_logo)] = Field(
        None, description="The logo on pages: an .svg or .png file of at most 64 KiB, shown 32 pixels high."
    )

    def branding(self) -> Branding:
        """Raises: OSError, the logo can't be read."""
        logo = None
        if self.logo_path is not None:
            content = base64.b64encode(self.logo_path.read_bytes()).decode()
            logo = f"data:{_LOGOS[self.logo_path.suffix.lower()]};base64,{content}"
        return Branding(self.organisation, self.support_contact, self.accent_colour, logo)
