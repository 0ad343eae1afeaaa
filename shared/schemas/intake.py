"""What intake publishes: requests for assistance, and those that a limit kept from being one."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.action import ActionData, Outcome
from shared.schemas.envelope import Data, Event
from shared.schemas.reference import ReferenceId
from shared.schemas.values import (
    Count,
    EmailAddress,
    IpAddress,
    IpNetwork,
    KeyedHash,
    Locale,
    ReasonCode,
    Timestamp,
    UserAgent,
)


class Issue(StrEnum):
    """The type of problem that the person has."""

    LOST_2FA = "lost-2fa"
    FORGOTTEN_PASSWORD = "forgotten-password"  # noqa: S105
    LOCKED_OUT = "locked-out"
    OTHER = "other"


class SuppressionReason(StrEnum):
    """Which limit of the address was used up."""

    ADDRESS_LIMIT = "address-limit"
    ADDRESS_TOTAL_LIMIT = "address-total-limit"


class ThrottlingLimit(StrEnum):
    """Which limit refused the requests."""

    NETWORK = "network"
    TOTAL = "total"


class SuppressedBefore(Data):
    """The requests for an address that led to no message of their own since the last one that did."""

    count: Count
    networks: Annotated[tuple[IpNetwork, ...], Field(max_length=20)] = ()
    """Where they came from, most frequent first; the first twenty."""
    since: Timestamp | None = None


class AssistanceRequestedData(ActionData):
    """One request. `actor` is `anonymous`, or the subject of the token that it was submitted with."""

    reference_id: ReferenceId
    email: EmailAddress
    """As submitted, whether or not an account has it."""
    email_hash: KeyedHash
    issue: Issue
    requested_at: Timestamp
    ip: IpAddress
    user_agent: UserAgent | None = None
    language: Locale | None = None
    """What the answer was written in."""
    suppressed_before: SuppressedBefore | None = None


class AssistanceSuppressedData(AssistanceRequestedData):
    """One request beyond a limit of its address: answered like any other, told to nobody by itself."""

    outcome: Outcome = Outcome.SUPPRESSED
    reason: SuppressionReason


class AssistanceThrottledData(ActionData):
    """Requests that were refused: the first of a window, or the count of the others at its end."""

    outcome: Outcome = Outcome.DENIED
    reason: ReasonCode | None = "throttled"
    ip: IpAddress | None = None
    network: IpNetwork | None = None
    """What the limit counts: an IPv4 address as /32, an IPv6 /64. None where the total was used up."""
    email_hash: KeyedHash | None = None
    limit: ThrottlingLimit
    window_start: Timestamp
    window_end: Timestamp
    count: Count


class AssistanceRequested(Event[AssistanceRequestedData]):
    """Somebody who can't sign in asked for help."""

    type: Literal["readmit.assistance.requested.v1"] = "readmit.assistance.requested.v1"


class AssistanceSuppressed(Event[AssistanceSuppressedData]):
    """A request was recorded and kept from the administrators' mailboxes."""

    type: Literal["readmit.assistance.suppressed.v1"] = "readmit.assistance.suppressed.v1"


class AssistanceThrottled(Event[AssistanceThrottledData]):
    """Requests were refused with 429 or 503."""

    type: Literal["readmit.assistance.throttled.v1"] = "readmit.assistance.throttled.v1"


EVENTS = (AssistanceRequested, AssistanceSuppressed, AssistanceThrottled)
