"""What a stranger can put into a notification: nothing but data.

Learns from HTML in mail fields (CVE-2022-31127), newlines in headers that some versions of the standard library write
through (CVE-2024-6923), recipients injected by arrays, commas and line breaks (CVE-2023-7028), SMTP smuggling by bare
line feeds and dots (CVE-2023-51764), and direction overrides that make text read as something else (CVE-2021-42574).
"""

from __future__ import annotations

import re

import pytest

from services.notifier.adapters.rendering import Renderer
from services.notifier.domain.delivery import Recipient, Told
from shared.kit.mail.message import UnsafeHeader
from shared.schemas.enrichment import (
    AssistanceEnrichedData,
    Caution,
    CautionCode,
    Fact,
    Location,
    Network,
    ResolvedAccount,
)
from shared.schemas.identity import AccountStatus
from tests.unit.notifier.builders import SENDER, a_request, enriched
from tests.unit.notifier.parts import facts_of, html_of, parsed, read, text_of
from tests.unit.notifier.test_message import a_delivery

CORPUS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><a href="https://evil.example">Approve</a>',
    "</td></tr></table><h1>Approved</h1>",
    "<style>*{display:none}</style>",
    "<!-- ",
    "{{ 7 * 7 }}{% raw %}",
    "%(reference)s %s %d",
    "&lt;b&gt; &#x202e;",
    "https://evil.example/r#token",
    "\u202egro.elpmaxe@anad\u202c",
    "\u2066\u2067\u2069\u200f\u200e\u061c",
    "pass\u200bword\ufeff",
    "Dana\u2028Account active: yes",
    "Dana\u2029Never mind",
    "=?utf-8?q?=0D=0ABcc:_x@evil.example?=",
)
MULTILINE = (
    "New location: x\nAccount active: yes\nResolved account: Root (a-1)",
    "x\n\nBefore you act\nJust send the code.",
    "x\n.\nMAIL FROM:<evil@evil.example>",
)
_INVISIBLE = re.compile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def everywhere(payload: str) -> AssistanceEnrichedData:
    """A request with the payload in every text that somebody else decides."""
    return enriched(
        resolved=ResolvedAccount(
            account_id=payload, display_name=payload, email="dana@example.org", status=AccountStatus.ACTIVE
        ),
        request=a_request(
            location=Fact[Location].known(Location(city=payload, country=payload)),
            network=Fact[Network].known(Network(asn=64500, name=payload)),
        ),
        cautions=(Caution(code=CautionCode.NEW_LOCATION, text=payload, evidence={"location": payload, "before": "x"}),),
    )


@pytest.mark.parametrize("locale", ["en", "ar"])
@pytest.mark.parametrize("payload", CORPUS)
def test_a_payload_is_shown_and_does_nothing(payload: str, locale: str) -> None:
    renderer = Renderer(SENDER)
    raw = renderer.message(a_delivery(), Recipient("a@example.org", locale=locale), [Told(everywhere(payload))])
    mail = read(raw)
    harmless = renderer.message(a_delivery(), Recipient("a@example.org", locale=locale), [Told(everywhere("Harmless"))])

    said, html = text_of(mail), html_of(mail)
    assert not _INVISIBLE.search(said + html)
    tags = {tag for tag, _ in parsed(html).elements}
    assert tags <= {tag for tag, _ in parsed(html_of(read(harmless))).elements} | {"bdi"}
    assert not any(name.startswith("on") for _, attributes in parsed(html).elements for name in attributes)
    # No line more than the harmless message has: nobody's text can begin a fact of ours.
    assert said.count("\n") == text_of(read(harmless)).count("\n")
    assert facts_of(text_of(mail)).keys() - {""} >= facts_of(text_of(read(harmless))).keys() - {""}
    assert payload[:6] not in str(mail["Subject"])
    assert "evil" not in b"".join(raw.partition(b"\r\n\r\n")[:1]).decode().lower()


@pytest.mark.parametrize("payload", MULTILINE)
def test_a_caution_stays_on_its_line(payload: str) -> None:
    caution = Caution(code=CautionCode.NEW_LOCATION, text=payload)
    raw = Renderer(SENDER).message(a_delivery(), Recipient("a@example.org"), [Told(enriched(cautions=(caution,)))])
    said = text_of(read(raw))
    assert said.count("Before you act\n") == 1
    assert facts_of(said)["Resolved account"] == "Dana Example (a-17)"
    assert b"\n.\r\n" not in raw
    assert b"\n" not in raw.replace(b"\r\n", b"")


@pytest.mark.parametrize("name", ["Dana\r\nBcc: x@evil.example", "a, <b@evil.example>", '"', "\u202e", "x" * 300])
def test_an_administrators_name_stays_in_its_header(name: str) -> None:
    raw = Renderer(SENDER).message(a_delivery(), Recipient("a@example.org", name), [Told(enriched())])
    mail = read(raw)
    assert mail["Bcc"] is None
    assert [address.addr_spec for address in mail["To"].addresses] == ["a@example.org"]


@pytest.mark.parametrize("address", ["a@example.org\r\nBcc: x@evil.example", "a@example.org\n", "a\x00@example.org"])
def test_an_address_with_control_characters_is_refused(address: str) -> None:
    with pytest.raises((UnsafeHeader, ValueError)):
        Renderer(SENDER).message(a_delivery(), Recipient(address), [Told(enriched())])


def test_the_corpus_finds_a_message_that_trusts_its_input() -> None:
    """The vulnerable twin: values put into the message as they are."""
    harmless = read(Renderer(SENDER).message(a_delivery(), Recipient("a@example.org"), [Told(everywhere("Harmless"))]))
    html = html_of(harmless).replace("Harmless", CORPUS[0])
    assert "script" in {tag for tag, _ in parsed(html).elements}
    said = text_of(harmless).replace("Harmless", MULTILINE[0])
    assert facts_of(said)["Resolved account"] != facts_of(text_of(harmless))["Resolved account"]
    assert _INVISIBLE.search(text_of(harmless).replace("Harmless", CORPUS[10]))
