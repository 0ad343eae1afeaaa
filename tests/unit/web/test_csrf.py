"""Which form posts are taken: the matrix of Go's CrossOriginProtection, against our public origin."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from shared.web.csrf import CrossOriginProtection, CrossOriginRefused, origin_of

_OURS = "https://recovery.example.org"


@pytest.fixture
def protection() -> CrossOriginProtection:
    return CrossOriginProtection(f"{_OURS}/some/path", ["https://id.example.org"])


@pytest.mark.parametrize(
    ("site", "origin", "allowed"),
    [
        ("same-origin", None, True),
        ("same-origin", _OURS, True),
        # What our own Referrer-Policy: no-referrer makes browsers send.
        ("same-origin", "null", True),
        # An address typed in, a bookmark: no page sent it.
        ("none", None, True),
        ("same-site", _OURS, False),
        ("same-site", "https://other.example.org", False),
        ("cross-site", "https://evil.example", False),
        ("cross-site", None, False),
        ("cross-site", _OURS, False),
        ("", _OURS, False),
        ("Same-Origin", _OURS, False),
        ("cross-site", "https://id.example.org", True),
        (None, "https://id.example.org", True),
        # Browsers before Sec-Fetch-Site, or over plain http.
        (None, _OURS, True),
        (None, None, True),
        (None, "null", False),
        (None, "", False),
        (None, "https://evil.example", False),
        (None, f"{_OURS}:8443", False),
        (None, "http://recovery.example.org", False),
        (None, f"{_OURS}.evil.example", False),
        (None, f"{_OURS}@evil.example", False),
        (None, "https://RECOVERY.example.org", False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "BREW"])
def test_the_matrix(protection: CrossOriginProtection, method: str, site: str, origin: str, allowed: bool) -> None:
    named = {"sec-fetch-site": site, "origin": origin, "host": "recovery.example.org"}
    headers = {name: value for name, value in named.items() if value is not None}
    assert protection.allows(method, headers) is allowed


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_may_come_from_anywhere(protection: CrossOriginProtection, method: str) -> None:
    assert protection.allows(method, {"sec-fetch-site": "cross-site", "origin": "https://evil.example"})


def test_host_is_never_believed(protection: CrossOriginProtection) -> None:
    """Go compares Origin with Host; behind a proxy that passes Host on, an attacker would choose both."""
    assert not protection.allows("POST", {"origin": "https://evil.example", "host": "evil.example"})


async def test_as_a_dependency_it_refuses_with_403(protection: CrossOriginProtection) -> None:
    headers = [(b"sec-fetch-site", b"cross-site")]
    request = Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers})
    with pytest.raises(CrossOriginRefused) as refused:
        await protection(request)
    assert refused.value.status_code == 403


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.example:443/x", "https://a.example"),
        ("http://A.example:80", "http://a.example"),
        ("http://127.0.0.1:8104/x", "http://127.0.0.1:8104"),
        ("http://[::1]:8104", "http://[::1]:8104"),
    ],
)
def test_origins_are_written_as_browsers_write_them(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize("url", ["", "recovery.example.org", "ftp://a.example", "https://"])
def test_an_address_without_origin_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ValueError, match="not an http address"):
        origin_of(url)
