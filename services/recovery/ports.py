"""What recovery's use cases need from outside, in their own words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from services.recovery.domain.account import Account, Registers
from services.recovery.domain.actions import Action, ActionStatus
from services.recovery.domain.secrets import Sealed
from shared.schemas.envelope import Event
from shared.schemas.recovery import ActionKind


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and from where."""

    subject: str
    """The token's subject: whose idempotency keys these are."""
    account: str | None
    ip: str
    user_agent: str | None = None

    @property
    def actor(self) -> str:
        return self.account or self.subject


@dataclass(frozen=True, slots=True)
class Activity:
    """One line of an account's activity log."""

    account_id: str
    at: datetime
    type: str
    outcome: str
    actor: str | None = None
    on_behalf_of: str | None = None
    reason: str | None = None
    details: str | None = None
    reference_id: str | None = None
    ip: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """An assistance request in the queue."""

    reference_id: str
    state: str
    issue: str
    email: str
    email_hash: str
    requested_at: datetime
    suppressed: bool
    account_id: str | None = None
    claimed_by: str | None = None
    claimed_at: datetime | None = None
    closed_by: str | None = None
    closed_at: datetime | None = None
    outcome: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class MailJob:
    """A mail to send: the one with the code or link (`recipient` None), or a notice to one of the owner's addresses."""

    mail_id: str
    action_id: str
    recipient: str | None
    status: str
    attempts: int
    created_at: datetime
    message_id: str | None = None  # of the last attempt


@dataclass(frozen=True, slots=True)
class Credential:
    """What was mailed, as it is kept."""

    credential_id: str
    sealed: Sealed
    address_hash: str
    selector: str | None = None
    lookup: bytes | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A live credential that what was typed may be."""

    credential_id: str
    action_id: str
    account_id: str
    sealed: Sealed
    attempt: int = 0
    """The attempt's number on the action, counted before the comparison."""


@dataclass(frozen=True, slots=True)
class Rejections:
    """Refused attempts for one address in one window."""

    address_hash: str
    account_id: str | None
    count: int
    window_start: datetime
    window_end: datetime
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """So many attempts in so long a time; None is no limit."""

    attempts: int | None
    period: timedelta


class Accounts(Protocol):
    async def apply(self, accounts: Mapping[str, Registers]) -> None: ...

    async def find(self, account_id: str, *, lock: bool = False) -> Account | None:
        """`lock` keeps the account as it is until the transaction ends."""

    async def search(self, query: str, *, limit: int, after: tuple[str, str] | None) -> Sequence[Account]: ...


class Actions(Protocol):
    async def add(self, action: Action) -> Action: ...

    async def find(self, action_id: str, *, lock: bool = False) -> Action | None: ...

    async def live_of(self, account_ids: Collection[str], kind: ActionKind | None = None) -> Sequence[Action]: ...

    async def last_of(self, account_id: str, limit: int) -> Sequence[Action]: ...

    async def end(self, action_id: str, status: ActionStatus, reason: str | None = None) -> Action | None:
        """Ends a live action; None when it was not live any more. Of any number at once exactly one gets the action."""

    async def redeem(self, action_id: str, credential_id: str) -> Action | None:
        """Uses a live action up by a credential that has not run out; of any number at once exactly one gets it."""

    async def add_credential(self, action_id: str, credential: Credential, lifetime: timedelta) -> datetime | None:
        """Adds an alternative and returns when it runs out; None when its selector is taken."""

    async def mark_sent(self, action_id: str) -> None: ...

    async def expire(self, limit: int) -> Sequence[Action]: ...


class Credentials(Protocol):
    async def count_attempt(self, hashes: Sequence[str], selector: str, window: Window) -> Sequence[Candidate]:
        """The live codes with this selector at this address, the attempt counted against action and account.

        A code whose action or account has no attempt left is not among them.
        """

    async def find_link(self, lookups: Sequence[bytes]) -> Candidate | None: ...

    async def give_back(self, account_id: str) -> None:
        """Takes a right attempt off the account's count."""

    async def attempts_left(self, account_id: str, window: Window) -> bool: ...

    async def reject(self, address_hash: str, network: str, window: timedelta) -> None: ...

    async def take_rejections(self, limit: int, address_hash: str | None = None) -> Sequence[Rejections]:
        """Removes and returns the windows that are over, or the one of this address at once."""


class Mails(Protocol):
    async def add(self, mail_id: str, action_id: str, recipient: str | None) -> None:
        """Adds a mail and queues its job."""

    async def find(self, mail_id: str, *, lock: bool = False) -> MailJob | None: ...

    async def count_attempt(self, mail_id: str, message_id: str) -> int: ...

    async def finish(
        self, mail_id: str, status: str, smtp_status: int | None = None, answer: str | None = None
    ) -> None: ...

    async def note_failure(self, mail_id: str, smtp_status: int | None, answer: str | None) -> None: ...


class Requests(Protocol):
    async def add(self, request: Request) -> None: ...

    async def resolve(self, request: Request) -> None: ...

    async def find(self, reference_id: str, *, lock: bool = False) -> Request | None: ...

    async def search(
        self, state: str | None, *, limit: int, after: tuple[datetime, str] | None
    ) -> Sequence[Request]: ...

    async def open_of(self, account_id: str, since: datetime) -> Sequence[Request]: ...

    async def claim(self, reference_id: str, actor: str) -> None: ...

    async def close(self, reference_id: str, actor: str, outcome: str, note: str | None) -> None: ...


class ActivityLog(Protocol):
    async def add(self, entries: Sequence[Activity]) -> None: ...

    async def page(
        self, account_id: str, *, limit: int, after: tuple[datetime, int] | None
    ) -> Sequence[tuple[int, Activity]]: ...

    async def forget(self, before: datetime) -> None: ...


class Answers(Protocol):
    """What was answered under an `Idempotency-Key`."""

    async def claim(self, subject: str, key: str, fingerprint: bytes, action_id: str) -> tuple[bytes, str] | None:
        """Keeps the answer, or returns the fingerprint and action of the one that is there already."""

    async def forget(self, before: datetime) -> None: ...


class Transaction(Protocol):
    """One PostgreSQL transaction with everything recovery keeps."""

    accounts: Accounts
    actions: Actions
    credentials: Credentials
    mails: Mails
    requests: Requests
    activity: ActivityLog
    answers: Answers

    async def now(self) -> datetime:
        """The database's clock: one for all replicas, and what every expiry is measured by."""

    def publish(self, event: Event[Any], *, key: str) -> None: ...


class Transactions(Protocol):
    def begin(self) -> AbstractAsyncContextManager[Transaction]:
        """Committed when the block ends, rolled back when it raises."""


HashesOfAddress = Callable[[str], Sequence[str]]


class SignGrant(Protocol):
    def __call__(self, *, account_id: str, actions: Sequence[str], reference_id: str | None) -> str:
        """A signed grant (contract section 7)."""


@dataclass(eq=False)
class MailFailure(Exception):
    """A mail was not taken."""

    permanent: bool
    smtp_status: int | None
    answer: str


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail says; the adapter puts it into words."""

    action: Action
    account: Account
    recipient: str
    message_id: str
    at: datetime
    secret: str | None = None
    """The code as shown, or the link's token; None in a notice."""
    expires_at: datetime | None = None


class Post(Protocol):
    async def send(self, letter: Letter) -> None:
        """Raises MailFailure."""
