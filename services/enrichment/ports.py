"""What the use cases need from outside; `adapters/` holds the real ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from services.enrichment.domain.accounts import Account, AccountPatch
from services.enrichment.domain.milestones import Milestone
from services.enrichment.domain.origin import Origin
from services.enrichment.domain.signins import SigninSums
from services.enrichment.domain.snapshot import AccountSnapshot, Earlier
from shared.schemas.enrichment import AssistanceEnriched
from shared.schemas.envelope import Event
from shared.schemas.intake import AssistanceRequested


class Geography(Protocol):
    """Where addresses are and who announces them."""

    def __call__(self, ip: str) -> Origin: ...


class Projections(Protocol):
    """Writes what events add up to, within one transaction."""

    async def merge_accounts(self, patches: Sequence[AccountPatch]) -> None: ...

    async def merge_milestones(self, milestones: Sequence[Milestone]) -> None: ...

    async def add_signins(self, sums: SigninSums) -> None: ...

    async def feed_began(self, name: str, at: datetime) -> None: ...

    async def add_requests(self, requests: Sequence[tuple[Event[Any], str]]) -> None:
        """Records requests, suppressed ones too, each with the label of the network it came from."""


class AccountsByAddress(Protocol):
    """The accounts that have an address, and those whose address looks like it."""

    exact: list[Account]
    look_alikes: list[Account]


class Facts(Protocol):
    """Reads what is known, in a number of statements that is the same whatever there is to read."""

    async def accounts_by_address(self, address: str) -> AccountsByAddress: ...

    async def account(self, account_id: str) -> Account | None: ...

    async def snapshot(self, account: Account, *, as_of: datetime, origin: Origin | None) -> AccountSnapshot:
        """Reads an account's security events; with an origin, also whether it was used before."""

    async def earlier(
        self, request: AssistanceRequested, *, hashes: Collection[str], account_id: str | None
    ) -> list[Earlier]: ...


class Enrichments(Protocol):
    """Where enriched requests go, and where requests wait that can't be enriched yet; within one transaction."""

    async def resolved(self, accounts: Mapping[str, str]) -> set[str]:
        """Remembers which account each reference was for; returns the references of requests that are known."""

    def publish(self, event: AssistanceEnriched) -> None: ...

    async def wait(self, requests: Iterable[AssistanceRequested], *, due_at: datetime) -> None:
        """Puts requests aside until then."""


AllHashes = Callable[[str], tuple[str, ...]]
"""An address's keyed hashes under every key."""


class Freshness(Protocol):
    """Whether events were accepted that the projections don't hold yet."""

    async def __call__(self) -> bool:
        """Tells whether this service has seen the identity events that the broker has, but for a batch at most."""

    async def until_settled(self) -> None:
        """Waits until the events that were read before have had their effect."""
