"""The mailbox over real SMTP: what is sent is there, after a restart too, and harms nobody who reads it."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from tests.integration.demo.processes import free_ports, running

# What each would do in a page that trusts it.
XSS = (
    "<script>alert(1)</script>",
    '"><script>alert(1)</script>',
    "'\"><img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</pre></textarea></iframe><script>alert(1)</script>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<a href=javascript:alert(1)>x</a>",
    "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "<base href=http://evil.example/>",
    "<form action=http://evil.example/><button>x</button></form>",
    "{{ 7 * 7 }}{% include 'x' %}",
)


@dataclass
class Site:
    url: str
    smtp_port: int
    settings: dict[str, str]
    log: Path
    http: httpx.Client

    def send(self, message: EmailMessage, to: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp_port) as smtp:
            smtp.send_message(message, "readmit@example.org", [to])

    def only_message(self, to: str) -> str:
        found = self.http.get("/api/v1/search", params={"query": f"to:{to}"}).json()
        assert found["messages_count"] == 1
        return str(found["messages"][0]["ID"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("mailbox")
    port, smtp_port = free_ports(2)
    settings = {
        "READMIT_DEMO_DIR": str(folder),
        "READMIT_DEMO_MAILBOX_PORT": str(port),
        "READMIT_DEMO_SMTP_PORT": str(smtp_port),
    }
    url = f"http://127.0.0.1:{port}"
    with (
        running("deploy.demo.mailbox", url, folder / "log", **settings),
        httpx.Client(base_url=url, trust_env=False) as http,
    ):
        yield Site(url, smtp_port, settings, folder / "log", http)


def a_message(to: str, subject: str = "Hello", text: str = "text", html: str | None = None) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Readmit <readmit@example.org>"
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = f"<{to}>"
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message


class _Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_round_trip_by_the_api(site: Site) -> None:
    address = "round.trip@example.org"
    site.send(a_message(address, "Grüße, سلمى", "Code ABCD\n", "<p>Code <b>ABCD</b></p>\n"), address)
    identifier = site.only_message(address)
    message = site.http.get(f"/api/v1/message/{identifier}").json()
    assert message["Subject"] == "Grüße, سلمى"
    assert message["From"] == {"Name": "Readmit", "Address": "readmit@example.org"}
    assert [to["Address"] for to in message["To"]] == [address]
    assert message["MessageID"] == address
    assert "Code ABCD" in message["Text"]
    assert "<b>ABCD</b>" in message["HTML"]
    raw = site.http.get(f"/api/v1/message/{identifier}/raw")
    assert raw.headers["content-type"].startswith("text/plain")
    assert b"Message-ID: <round.trip@example.org>\r\n" in raw.content
    headers = site.http.get(f"/api/v1/message/{identifier}/headers").json()
    assert headers["From"] == ["Readmit <readmit@example.org>"]
    assert site.http.get("/api/v1/message/none").status_code == 404
    assert site.http.get("/livez").status_code == 200


def test_internationalised_addresses(site: Site) -> None:
    address = "grüße@exämple.org"
    message = a_message(address)
    with smtplib.SMTP("127.0.0.1", site.smtp_port) as smtp:
        smtp.send_message(message, "readmit@example.org", [address], mail_options=["SMTPUTF8"])
    assert site.only_message(address)
    assert address in site.http.get("/", params={"to": address}).text


def test_paging_newest_first(site: Site) -> None:
    for number in range(3):
        address = f"page{number}@example.org"
        site.send(a_message(address, f"Page {number}"), address)
    listing = site.http.get("/api/v1/messages", params={"limit": 2, "start": 0}).json()
    assert [item["Subject"] for item in listing["messages"]] == ["Page 2", "Page 1"]
    assert site.http.get("/api/v1/messages", params={"limit": 1, "start": 2}).json()["messages"][0]["Subject"] == (
        "Page 0"
    )
    assert listing["total"] >= 3
    assert "Page 1" in site.http.get("/", params={"to": "page1@example.org"}).text
    assert "Page 2" not in site.http.get("/", params={"to": "page1@example.org"}).text


@pytest.mark.parametrize("number", range(len(XSS)))
def test_what_a_message_holds_is_never_markup_of_the_page(site: Site, number: int) -> None:
    """CVE-2022-50908: stored script in a mail catcher's page."""
    attack = XSS[number]
    address = f"xss{number}@example.org"
    site.send(a_message(address, attack, attack, attack), address)
    identifier = site.only_message(address)
    pages = [
        f"/?to={address}",
        *(f"/message/{identifier}?part={part}" for part in ("text", "html", "headers", "source")),
    ]
    for path in pages:
        page = site.http.get(path)
        assert "script-src" not in page.headers["content-security-policy"]
        assert "default-src 'none'" in page.headers["content-security-policy"]
        elements = _Elements(page.text).found
        names = {name for name, _ in elements}
        assert names.isdisjoint({"script", "svg", "img", "base"}), path
        for name, attributes in elements:
            assert not any(key.startswith("on") for key in attributes)
            assert not (attributes.get("href") or "").startswith("javascript:")
            if name == "form":
                assert attributes["action"] in ("/", "/delete")
            if name == "iframe":
                assert attributes["sandbox"] == "allow-popups allow-popups-to-escape-sandbox"
                assert "srcdoc" not in attributes
            if name == "meta":
                assert "http-equiv" not in attributes


def test_the_html_part_is_caged(site: Site) -> None:
    address = "caged@example.org"
    site.send(a_message(address, html="<img src=http://evil.example/pixel.png><script>alert(1)</script>"), address)
    policy = site.http.get(f"/message/{site.only_message(address)}/html").headers["content-security-policy"]
    assert policy.startswith("sandbox allow-popups allow-popups-to-escape-sandbox;")
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    assert "img-src data:;" in policy


def test_other_sites_reach_nothing(site: Site) -> None:
    assert site.http.get("/", headers={"host": "rebound.example"}).status_code == 400
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert site.http.post("/delete", headers=headers).status_code == 403
    answer = site.http.options(
        "/api/v1/messages", headers={"origin": "http://evil.example", "access-control-request-method": "DELETE"}
    )
    assert "access-control-allow-origin" not in answer.headers


def test_messages_survive_a_restart_and_can_be_deleted(tmp_path: Path) -> None:
    port, smtp_port = free_ports(2)
    settings = {
        "READMIT_DEMO_DIR": str(tmp_path),
        "READMIT_DEMO_MAILBOX_PORT": str(port),
        "READMIT_DEMO_SMTP_PORT": str(smtp_port),
    }
    url = f"http://127.0.0.1:{port}"
    with (
        running("deploy.demo.mailbox", url, tmp_path / "log", **settings),
        smtplib.SMTP("127.0.0.1", smtp_port) as smtp,
    ):
        smtp.send_message(a_message("kept@example.org"))
    with (
        running("deploy.demo.mailbox", url, tmp_path / "log", **settings),
        httpx.Client(base_url=url, trust_env=False) as http,
    ):
        assert http.get("/api/v1/messages").json()["total"] == 1
        assert http.delete("/api/v1/messages").status_code == 200
        assert http.get("/api/v1/messages").json()["total"] == 0
    assert "kept@example.org" not in (tmp_path / "log").read_text()
    assert (tmp_path / "mail" / "messages.db").stat().st_mode & 0o077 == 0


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    port, smtp_port = free_ports(2)
    settings = {
        "READMIT_DEMO_DIR": str(tmp_path),
        "READMIT_DEMO_MAILBOX_PORT": str(port),
        "READMIT_DEMO_SMTP_PORT": str(smtp_port),
    }
    url = f"http://127.0.0.1:{port}"
    with running("deploy.demo.mailbox", url, tmp_path / "first", **settings):
        (other,) = free_ports(1)
        second = settings | {"READMIT_DEMO_MAILBOX_PORT": str(other)}
        with (
            pytest.raises(AssertionError, match=str(smtp_port)),
            running("deploy.demo.mailbox", f"http://127.0.0.1:{other}", tmp_path / "second", **second),
        ):
            pass
