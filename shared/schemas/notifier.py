"""What notifier publishes: who was told of a request, and who was not."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.action import ActionData, Outcome
from shared.schemas.envelope import Event
from shared.schemas.reference import ReferenceId
from shared.schemas.values import AccountId, Count, Flag, OpaqueId, Prose, ReasonCode


class Via(StrEnum):
    """Whether an administrator got a message about this request, or a line in a digest."""

    MESSAGE = "message"
    DIGEST = "digest"


SmtpStatus = Annotated[int, Field(strict=True, ge=200, le=599)]
"""A reply code (RFC 5321, section 4.2)."""


class AdminNotifiedData(ActionData):
    """The SMTP server took the message for this administrator."""

    reference_id: ReferenceId
    admin: AccountId
    via: Via = Via.MESSAGE
    message_id: OpaqueId | None = None
    attempts: Count = 1


class AdminNotificationFailedData(ActionData):
    """This administrator will not be told: the server refused for good, or the time for trying is over."""

    reference_id: ReferenceId
    outcome: Outcome = Outcome.FAILURE
    admin: AccountId
    via: Via = Via.MESSAGE
    message_id: OpaqueId | None = None
    attempts: Count
    smtp_status: SmtpStatus | None = None
    """None where no server answered."""
    server_answer: Prose | None = None
    """In the server's words, which often name the recipient."""


class NobodyEligibleData(ActionData):
    """No active administrator with the permission and a deliverable address."""

    reference_id: ReferenceId
    outcome: Outcome = Outcome.FAILURE
    reason: ReasonCode | None = "nobody-eligible"
    fallback: Flag = False
    """Whether the message goes to the organisation's fallback address."""


class AdminNotified(Event[AdminNotifiedData]):
    """One administrator was told of one request."""

    type: Literal["readmit.assistance.admin-notified.v1"] = "readmit.assistance.admin-notified.v1"


class AdminNotificationFailed(Event[AdminNotificationFailedData]):
    """One administrator could not be told of one request."""

    type: Literal["readmit.assistance.admin-notification-failed.v1"] = "readmit.assistance.admin-notification-failed.v1"


class NobodyEligible(Event[NobodyEligibleData]):
    """There was nobody to tell."""

    type: Literal["readmit.assistance.nobody-eligible.v1"] = "readmit.assistance.nobody-eligible.v1"


EVENTS = (AdminNotified, AdminNotificationFailed, NobodyEligible)
