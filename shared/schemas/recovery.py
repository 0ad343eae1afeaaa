"""What recovery publishes: every step of every action, and never what was in the mail.

No member here may ever hold a recovery code, a link token, a grant or a password: a test reads the names of all.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.action import ActionData, Outcome
from shared.schemas.envelope import Data, Event
from shared.schemas.notifier import SmtpStatus
from shared.schemas.reference import ReferenceId
from shared.schemas.values import (
    Count,
    IpAddress,
    IpNetwork,
    KeyedHash,
    Label,
    OpaqueId,
    Prose,
    ReasonCode,
    Timestamp,
    UserAgent,
)


class ActionKind(StrEnum):
    """What an administrator can do for an account."""

    ACCESS_EMAIL = "access-email"
    RECOVERY_CODE = "recovery-code"


class GrantedAction(StrEnum):
    """What the person may then do at the identity platform."""

    RESET_PASSWORD = "reset-password"  # noqa: S105
    REMOVE_2FA = "remove-2fa"


class MailPurpose(StrEnum):
    """Whether a mail carries the way back in, or tells the owner that it was sent."""

    ACTION = "action"
    OWNER_NOTICE = "owner-notice"


class Resolution(StrEnum):
    """How a request ended."""

    RESOLVED = "resolved"
    NOT_GENUINE = "not-genuine"
    DUPLICATE = "duplicate"


class Verification(Data):
    """How the administrator made sure of the person, in the organisation's own terms."""

    method: Label
    note: Prose | None = None


class RecoveryData(ActionData):
    """What the events of recovery share: where the call came from."""

    ip: IpAddress | None = None
    user_agent: UserAgent | None = None


class RecoveryActionData(RecoveryData):
    """One action for one account."""

    action_id: OpaqueId
    kind: ActionKind


class ActionRequestedData(RecoveryActionData):
    """An administrator asked for it: `actor` acts, `reason` is one of the predefined ones."""

    reason: ReasonCode
    details: Prose | None = None
    verification: Verification | None = None


class AccessEmailRequestedData(ActionRequestedData):
    """An access email was asked for."""

    kind: ActionKind = ActionKind.ACCESS_EMAIL


class CodeRequestedData(ActionRequestedData):
    """A recovery code was asked for."""

    kind: ActionKind = ActionKind.RECOVERY_CODE


class ActionMailSentData(RecoveryActionData):
    """The SMTP server took the mail."""

    attempt: Count = 1
    expires_at: Timestamp | None = None
    message_id: OpaqueId | None = None


class AccessEmailSentData(ActionMailSentData):
    """The access email is on its way."""

    kind: ActionKind = ActionKind.ACCESS_EMAIL


class CodeSentData(ActionMailSentData):
    """The recovery code is on its way."""

    kind: ActionKind = ActionKind.RECOVERY_CODE


class ActionUsedData(RecoveryActionData):
    """The person used what was sent, and may now do `actions` at the identity platform."""

    actions: Annotated[tuple[GrantedAction, ...], Field(max_length=8)]


class AccessLinkUsedData(ActionUsedData):
    """The link was used."""

    kind: ActionKind = ActionKind.ACCESS_EMAIL


class CodeRedeemedData(ActionUsedData):
    """The recovery code was redeemed."""

    kind: ActionKind = ActionKind.RECOVERY_CODE


class CodeRejectedData(RecoveryData):
    """Wrong attempts on one account in one window, counted."""

    outcome: Outcome = Outcome.DENIED
    email_hash: KeyedHash | None = None
    """Where the address belongs to no account."""
    count: Count
    window_start: Timestamp
    window_end: Timestamp
    networks: Annotated[tuple[IpNetwork, ...], Field(max_length=20)] = ()
    action_id: OpaqueId | None = None
    """The action that was killed by it."""


class ActionExpiredData(RecoveryActionData):
    """Nobody used it in time."""

    expired_at: Timestamp


class ActionCancelledData(RecoveryActionData):
    """It was ended before it was used: `reason` says by what."""

    reason: ReasonCode


class MailFailedData(RecoveryActionData):
    """A mail of this action will not arrive."""

    outcome: Outcome = Outcome.FAILURE
    purpose: MailPurpose = MailPurpose.ACTION
    attempts: Count
    smtp_status: SmtpStatus | None = None
    server_answer: Prose | None = None


class ActionDeniedData(RecoveryData):
    """Somebody asked for what they may not do."""

    outcome: Outcome = Outcome.DENIED
    reason: ReasonCode
    """Which rule: `permission`, `self-service`, `higher-privilege`, …"""
    kind: ActionKind | None = None
    """None where it was another call than one of the two actions."""
    action_id: OpaqueId | None = None
    """Where it was denied when it was carried out, having been accepted before."""
    given_reason: ReasonCode | None = None
    """The predefined reason that the administrator gave."""
    details: Prose | None = None
    verification: Verification | None = None


class RequestClaimedData(RecoveryData):
    """`actor` is on it."""

    reference_id: ReferenceId


class RequestClosedData(RecoveryData):
    """`actor` closed it."""

    reference_id: ReferenceId
    resolution: Resolution
    note: Prose | None = None


class AccessEmailRequested(Event[AccessEmailRequestedData]):
    """An administrator asked for an access email."""

    type: Literal["readmit.recovery.access-email-requested.v1"] = "readmit.recovery.access-email-requested.v1"


class AccessEmailSent(Event[AccessEmailSentData]):
    """An access email was sent."""

    type: Literal["readmit.recovery.access-email-sent.v1"] = "readmit.recovery.access-email-sent.v1"


class AccessLinkUsed(Event[AccessLinkUsedData]):
    """The link of an access email was used."""

    type: Literal["readmit.recovery.access-link-used.v1"] = "readmit.recovery.access-link-used.v1"


class CodeRequested(Event[CodeRequestedData]):
    """An administrator asked for a recovery code."""

    type: Literal["readmit.recovery.code-requested.v1"] = "readmit.recovery.code-requested.v1"


class CodeSent(Event[CodeSentData]):
    """A recovery code was sent."""

    type: Literal["readmit.recovery.code-sent.v1"] = "readmit.recovery.code-sent.v1"


class CodeRedeemed(Event[CodeRedeemedData]):
    """A recovery code was redeemed."""

    type: Literal["readmit.recovery.code-redeemed.v1"] = "readmit.recovery.code-redeemed.v1"


class CodeRejected(Event[CodeRejectedData]):
    """Wrong codes were tried: one event per account and window."""

    type: Literal["readmit.recovery.code-rejected.v1"] = "readmit.recovery.code-rejected.v1"


class ActionExpired(Event[ActionExpiredData]):
    """A code or link ran out unused."""

    type: Literal["readmit.recovery.expired.v1"] = "readmit.recovery.expired.v1"


class ActionCancelled(Event[ActionCancelledData]):
    """A code or link was ended before its time."""

    type: Literal["readmit.recovery.cancelled.v1"] = "readmit.recovery.cancelled.v1"


class MailFailed(Event[MailFailedData]):
    """A mail of recovery could not be delivered."""

    type: Literal["readmit.recovery.email-failed.v1"] = "readmit.recovery.email-failed.v1"


class ActionDenied(Event[ActionDeniedData]):
    """Somebody was refused an action."""

    type: Literal["readmit.recovery.action-denied.v1"] = "readmit.recovery.action-denied.v1"


class RequestClosed(Event[RequestClosedData]):
    """An assistance request came to its end."""

    type: Literal["readmit.recovery.request-closed.v1"] = "readmit.recovery.request-closed.v1"


class RequestClaimed(Event[RequestClaimedData]):
    """An administrator took an assistance request on."""

    type: Literal["readmit.recovery.request-claimed.v1"] = "readmit.recovery.request-claimed.v1"


EVENTS = (
    AccessEmailRequested,
    AccessEmailSent,
    AccessLinkUsed,
    CodeRequested,
    CodeSent,
    CodeRedeemed,
    CodeRejected,
    ActionExpired,
    ActionCancelled,
    MailFailed,
    ActionDenied,
    RequestClosed,
    RequestClaimed,
)
