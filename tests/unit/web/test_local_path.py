"""``next=`` leads nowhere but to our own pages (CWE-601)."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.web.signin import local_path

_ATTACKS = [
    "",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/ /evil.example",
    "/\x00/evil.example",
    "/%0a\n/evil.example",
    "https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "http://recovery.example.org@evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "evil.example",
    "@evil.example",
    "?next=//evil.example",
    "#x",
    "./x",
    "//[::1",
    "/ok\r\nSet-Cookie: a=b",
    "/" + "a" * 2000,
    "/signin?next=/signin",
    "/signin/callback?code=x",
    "/signout",
]


@pytest.mark.parametrize("value", _ATTACKS)
def test_what_could_lead_elsewhere_leads_home(value: str) -> None:
    assert local_path(value, "/home") == "/home"


@pytest.mark.parametrize(
    "value", ["/", "/console/users?query=a%20b", "/a//b", "/%2f/x", "/%5cx", "/r#x", "/s?u=https://x.example", "/ü"]
)
def test_a_path_of_ours_is_kept(value: str) -> None:
    assert local_path(value, "/home") == value


def test_nothing_is_home() -> None:
    assert local_path(None, "/home") == "/home"


@given(st.text(alphabet="/\\.:@?#%evil \t\r\n\x00", max_size=12) | st.text(max_size=30))
def test_whatever_is_kept_stays_on_our_origin(value: str) -> None:
    # As the WHATWG URL parser does before it looks: strip tabs and line breaks, read backslashes as slashes.
    kept = local_path(value, "/home")
    as_browsers_see = "".join(c for c in kept if c not in "\t\r\n").replace("\\", "/").strip("\x00 ")
    assert urlsplit(urljoin("https://recovery.example.org/signin", as_browsers_see)).netloc == "recovery.example.org"
