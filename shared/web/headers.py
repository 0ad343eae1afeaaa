"""The security headers of every page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ContentPolicy:
    """What a page may do beyond nothing (CSP level 3). Values are origins, or keywords with their quotes."""

    form_action: tuple[str, ...] = ()
    """Origins besides our own that forms may post to, as the identity platform's for the grant."""
    script_src: tuple[str, ...] = ()
    frame_ancestors: tuple[str, ...] = ()
    """Who may embed the page: nobody, unless named."""

    def header(self) -> str:
        for value in (*self.form_action, *self.script_src, *self.frame_ancestors):
            if any(character in value for character in " ;,\r\n\t"):
                raise ValueError(f"not one source expression: {value!r}")
        ancestors = self.frame_ancestors or ("'none'",)
        directives = [
            "default-src 'none'",
            "style-src 'self'",
            "img-src 'self' data:",
            *(["script-src " + " ".join(self.script_src)] if self.script_src else []),
            "form-action " + " ".join(("'self'", *self.form_action)),
            "base-uri 'none'",
            "frame-ancestors " + " ".join(ancestors),
        ]
        return "; ".join(directives)


def security_headers(policy: ContentPolicy) -> Mapping[str, str]:
    """Pages hold personal data and are never stored; nothing tells another site where a person came from."""
    return {
        "Content-Security-Policy": policy.header(),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
