"""`POST /v1/assistance-requests`: from the request to the message on the topic."""

from __future__ import annotations

from shared.schemas import reference
from tests.integration.intake.conftest import Intake

REQUEST = {"email": "amelia@example.org", "issue": "lost-2fa"}


async def test_an_accepted_request_becomes_a_message(intake: Intake) -> None:
    answer = await intake.client().post("/v1/assistance-requests", json=REQUEST)
    assert answer.status_code == 202, answer.text
    assert reference.parse(answer.json()["reference_id"])
    print(answer.headers, answer.text, await intake.events())
    page = await intake.client().get("/")
    assert page.status_code == 200
    print(page.text)
    api = await intake.client().get("/openapi.json")
    assert api.status_code == 200
    events = await intake.platform().post(
        "/v1/events", headers={"content-type": "application/cloudevents-batch+json"}, content="[]"
    )
    assert events.json() == {"accepted": 0}
