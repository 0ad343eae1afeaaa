"""The pages, as somebody who signed in sees them."""

from __future__ import annotations

import re

from starlette.responses import Response

from services.audit.settings import AuditSettings
from shared.web.sessions import Sessions
from tests.integration.audit.conftest import Audit, golden

REFERENCE = "RA-7K2M-9QXT-5"


def sign_in(audit: Audit, settings: AuditSettings, scope: str = "readmit.audit") -> None:
    """What the provider's answer leads to; the way there is tested with shared.web."""
    sessions = Sessions(service="audit", keys=list(settings.session_key.keys), public_url=settings.public_audit_url)
    response = Response()
    sessions.start(response, subject="auditor-1", account="auditor-1", scopes=frozenset({scope}), name="Avery Example")
    cookie = response.headers["set-cookie"].partition(";")[0]
    audit.client.headers["cookie"] = cookie


async def test_without_a_session_the_way_leads_to_the_sign_in(audit: Audit) -> None:
    for path in ("/console", f"/console/references/{REFERENCE}"):
        response = await audit.get(path)
        assert response.status_code == 303
        assert response.headers["location"].startswith("/signin?next=%2Fconsole")
    assert (await audit.get("/")).headers["location"] == "/console"


async def test_a_session_without_the_scope_sees_nothing(audit: Audit, settings: AuditSettings) -> None:
    sign_in(audit, settings, scope="readmit.recover")
    assert (await audit.get("/console")).status_code == 403


async def test_one_reference_is_told_as_a_story(audit: Audit, settings: AuditSettings) -> None:
    events = golden()
    told = [event_type for event_type, raw in events.items() if REFERENCE.encode() in raw]
    await audit.record_all(*events.values())
    sign_in(audit, settings)

    page = await audit.get(f"/console/references/{REFERENCE.lower()}")
    assert page.status_code == 200
    text = re.sub(r"\s+", " ", page.text)
    assert len(re.findall(r'<li class="(?:ok|neutral|caution|danger)">', text)) == len(told)
    for expected in (
        "Help was asked for",
        "A recovery code was asked for",
        "acct-0007",
        "lost-device",
        "Phone was stolen.",
        "video-call",
        "203.0.113.57",
        "Complete",
    ):
        assert expected in text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


async def test_search_by_reference_and_by_query(audit: Audit, settings: AuditSettings) -> None:
    await audit.record_all(*golden().values())
    sign_in(audit, settings)

    start = await audit.get("/console")
    assert start.status_code == 200
    assert "<table" not in start.text
    assert (await audit.get("/console", ref=" ra7k2m9qxt5 ")).headers["location"] == f"/console/references/{REFERENCE}"
    wrong = await audit.get("/console", ref="RA-7K2M-9QXT-6")
    assert wrong.status_code == 400
    assert "no reference ID" in wrong.text

    found = await audit.get("/console", q="type:readmit.recovery.code-requested.*")
    assert "A recovery code was asked for" in found.text
    assert f'href="/console/references/{REFERENCE}"' in found.text
    unknown = await audit.get("/console", q="colour:red")
    assert unknown.status_code == 400
    assert "Unknown key" in unknown.text
    assert (await audit.get("/console/references/RA-0000-0000-0")).status_code == 404
    assert (await audit.get("/console/references/nonsense")).status_code == 400


async def test_what_a_person_wrote_is_text_on_the_page(audit: Audit, settings: AuditSettings) -> None:
    raw = golden()["readmit.recovery.code-requested.v1"]
    await audit.record_all(raw.replace(b"Phone was stolen.", b"<script>alert(1)</script>"))
    sign_in(audit, settings)
    page = await audit.get(f"/console/references/{REFERENCE}")
    assert "&lt;script&gt;" in page.text
    assert "<script" not in page.text
