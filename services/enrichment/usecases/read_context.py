"""Tell what is known about an account to whoever looks at it, without a request."""

from __future__ import annotations

from dataclasses import dataclass

from services.enrichment.domain.facts import account_context
from services.enrichment.ports import Facts
from shared.kit.clock import Clock
from shared.schemas.enrichment import AccountContext


@dataclass(frozen=True, slots=True)
class ReadContext:
    """The facts about an account as of now."""

    clock: Clock

    async def __call__(self, account_id: str, facts: Facts) -> AccountContext | None:
        """Give the facts, or None for an account that is unknown or removed."""
        account = await facts.account(account_id)
        if account is None:
            return None
        return account_context(await facts.snapshot(account, as_of=self.clock(), origin=None))
