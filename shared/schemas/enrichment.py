"""What enrichment publishes: a request with the account it resolved to and what is known about both.

Holds all that a notification says. Every finding is a `Fact`, because "none" and "not known" are different answers.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from shared.schemas.action import ActionData
from shared.schemas.envelope import Data, Event
from shared.schemas.identity import AccountStatus, SigninFailure
from shared.schemas.intake import Issue, SuppressedBefore
from shared.schemas.reference import ReferenceId
from shared.schemas.values import (
    PERSONAL,
    AccountId,
    Actor,
    Count,
    EmailAddress,
    EmailAddressOrEmpty,
    Flag,
    IpAddress,
    IpNetwork,
    KeyedHash,
    Label,
    Locale,
    Name,
    Prose,
    Timestamp,
    TimeZone,
    UserAgent,
)

T = TypeVar("T")

# Lists of places, networks and requests are cut to what one message can show.
_MAX_ITEMS = 20


class FactState(StrEnum):
    """Whether there is a value, known to be none, or nobody can say."""

    KNOWN = "known"
    NONE = "none"
    UNKNOWN = "unknown"


class Fact(Data, Generic[T]):
    """One finding, with how much it is worth."""

    state: FactState
    value: T | None = None
    as_of: Timestamp | None = None
    """When the value held."""
    since: Timestamp | None = None
    """For `none`: since when data that could have shown one has been received."""
    why: Label | None = None
    """For `unknown`: what is missing."""
    source: Label | None = None

    @model_validator(mode="after")
    def _value_only_when_known(self) -> Self:
        if (self.state is FactState.KNOWN) != (self.value is not None):
            raise PydanticCustomError("fact_value", "a value goes with the state known, and with no other")
        return self

    @classmethod
    def known(cls, value: T, *, as_of: datetime | None = None, source: str | None = None) -> Self:
        """State a value."""
        return cls(state=FactState.KNOWN, value=value, as_of=as_of, source=source)

    @classmethod
    def none(cls, *, since: datetime | None = None, source: str | None = None) -> Self:
        """State that there was none since then."""
        return cls(state=FactState.NONE, since=since, source=source)

    @classmethod
    def unknown(cls, why: str | None = None, *, source: str | None = None) -> Self:
        """State that nobody can say, and why."""
        return cls(state=FactState.UNKNOWN, why=why, source=source)


class Location(Data):
    """An approximate place, from a GeoIP database."""

    city: Label | None = None
    country: Label | None = None
    country_code: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    """ISO 3166-1 alpha-2."""
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    accuracy_km: Count | None = None


class Network(Data):
    """Who announces an address."""

    asn: Count | None = None
    name: Label | None = None
    prefix: IpNetwork | None = None


PersonalLocation = Annotated[Location, PERSONAL]
PersonalNetwork = Annotated[Network, PERSONAL]
PersonalLabel = Annotated[Label, PERSONAL]


class SigninSeen(Data):
    """One successful sign-in."""

    at: Timestamp
    ip: IpAddress
    location: PersonalLocation | None = None
    network: PersonalNetwork | None = None
    method: Label | None = None


class LocationSeen(Data):
    """A place that successful sign-ins came from."""

    label: PersonalLabel
    count: Count
    last_at: Timestamp


class NetworkSeen(Data):
    """A network that successful sign-ins came from."""

    label: PersonalLabel
    asn: Annotated[Count, PERSONAL] | None = None
    count: Count
    last_at: Timestamp


class FailureCount(Data):
    """How often sign-ins failed in one way, in the last 30 days."""

    failure: SigninFailure
    count: Count


class FailedSignins(Data):
    """Failed sign-ins to the account."""

    last_24_hours: Count
    last_30_days: Count
    by_failure: Annotated[tuple[FailureCount, ...], Field(max_length=_MAX_ITEMS)] = ()
    last_at: Timestamp | None = None


class UsedBefore(Data):
    """Whether successful sign-ins came from here before."""

    used: Flag
    count: Count = 0
    last_at: Timestamp | None = None


class AccountContext(Data):
    """The status of an account and its recent security events."""

    account_exists: Fact[Flag]
    status: Fact[AccountStatus]
    two_factor_enabled: Fact[Flag]
    unused_backup_codes: Fact[Count]
    last_successful_signin: Fact[SigninSeen]
    signin_locations: Fact[Annotated[tuple[LocationSeen, ...], Field(max_length=_MAX_ITEMS)]]
    """Most recent first."""
    signin_networks: Fact[Annotated[tuple[NetworkSeen, ...], Field(max_length=_MAX_ITEMS)]]
    failed_signins: Fact[FailedSignins]
    access_email_last_sent: Fact[Timestamp]
    recovery_code_last_sent: Fact[Timestamp]
    two_factor_last_changed: Fact[Timestamp]
    backup_codes_last_changed: Fact[Timestamp]
    password_last_changed: Fact[Timestamp]
    email_last_changed: Fact[Timestamp]


class AddressKind(StrEnum):
    """What kind of address the request came from (RFC 6890); only `public` ones have a place and a network."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    CARRIER_GRADE_NAT = "carrier-grade-nat"
    DOCUMENTATION = "documentation"
    MULTICAST = "multicast"
    RESERVED = "reserved"
    UNSPECIFIED = "unspecified"


class EarlierRequest(Data):
    """An earlier request for the same address or account."""

    reference_id: ReferenceId
    at: Timestamp


class EarlierRequests(Data):
    """How many requests came before, and the latest of them."""

    count: Count
    items: Annotated[tuple[EarlierRequest, ...], Field(max_length=_MAX_ITEMS)] = ()


class CautionCode(StrEnum):
    """What is unusual."""

    NEW_LOCATION = "new-location"
    NEW_NETWORK = "new-network"
    IMPOSSIBLE_TRAVEL = "impossible-travel"
    FAILED_SIGNINS = "failed-signins"
    RECENT_CHANGES = "recent-changes"
    LOOK_ALIKE_ADDRESS = "look-alike-address"
    MANY_REQUESTS = "many-requests"


Evidence = Annotated[dict[Label, Label | Flag | Annotated[int, Field(strict=True)]], Field(max_length=20), PERSONAL]


class Caution(Data):
    """Something unusual, in English words and as the facts that a translation needs."""

    code: CautionCode
    text: Prose
    evidence: Evidence = Field(default_factory=dict)


class RequestContext(Data):
    """The request as submitted, and what its origin says."""

    email: EmailAddress
    email_hash: KeyedHash
    issue: Issue
    requested_at: Timestamp
    submitted_by: Actor
    """`anonymous`, or the subject of the token that it was submitted with."""
    language: Locale | None = None
    ip: IpAddress
    user_agent: UserAgent | None = None
    address_kind: AddressKind
    location: Fact[PersonalLocation]
    network: Fact[PersonalNetwork]
    ip_used_before: Fact[UsedBefore]
    network_used_before: Fact[UsedBefore]
    """The same AS, else the same /24 or /48."""
    earlier_requests: Fact[EarlierRequests]
    suppressed_before: SuppressedBefore | None = None


class Match(StrEnum):
    """Whether the submitted address belongs to exactly one account, to none, or to several."""

    EXACT = "exact"
    NONE = "none"
    AMBIGUOUS = "ambiguous"


class ResolvedAccount(Data):
    """The account that the submitted address belongs to."""

    account_id: AccountId
    display_name: Name
    email: EmailAddressOrEmpty
    status: AccountStatus
    locale: Locale | None = None
    time_zone: TimeZone | None = None


class AssistanceEnrichedData(ActionData):
    """A request with all that a notification says; `subject` is the resolved account's id."""

    reference_id: ReferenceId
    match: Match
    resolved: ResolvedAccount | None = None
    request: RequestContext
    context: AccountContext | None = None
    """None where no account was found."""
    cautions: Annotated[tuple[Caution, ...], Field(max_length=_MAX_ITEMS)] = ()

    @model_validator(mode="after")
    def _resolved_when_matched(self) -> Self:
        if (self.match is Match.EXACT) != (self.resolved is not None):
            raise PydanticCustomError("resolved_account", "a resolved account goes with an exact match")
        return self


class AssistanceEnriched(Event[AssistanceEnrichedData]):
    """A request is ready to be told to the administrators."""

    type: Literal["readmit.assistance.enriched.v1"] = "readmit.assistance.enriched.v1"


EVENTS = (AssistanceEnriched,)
