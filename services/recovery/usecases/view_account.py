"""All that the console shows of an account, and what may be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.recovery.domain.account import Account
from services.recovery.domain.actions import Action
from services.recovery.domain.permissions import Permissions
from services.recovery.domain.problems import NotFound
from services.recovery.ports import Activity, Request, Transactions, Window
from services.recovery.usecases.request_action import REQUEST_AGE, conflict_of
from shared.schemas.recovery import ActionKind

_ACTIONS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class AccountView:
    account: Account
    activity: Sequence[tuple[int, Activity]]
    actions: Sequence[Action]
    open_requests: Sequence[Request]
    unavailable: Mapping[ActionKind, str | None]
    """For each kind of action why it can't be taken now, in words; None where it can."""
    at: datetime


class ViewAccount:
    def __init__(self, transactions: Transactions, permissions: Permissions, window: Window) -> None:
        self._transactions = transactions
        self._permissions = permissions
        self._window = window

    async def __call__(
        self, admin: Account, account_id: str, *, limit: int, after: tuple[datetime, int] | None
    ) -> AccountView:
        """For an administrator whom the desk has admitted. Raises NotFound."""
        async with self._transactions.begin() as tx:
            account = await tx.accounts.find(account_id)
            if account is None:
                raise NotFound("No such account.")
            now = await tx.now()
            unavailable: dict[ActionKind, str | None] = {}
            for kind in ActionKind:
                denial = self._permissions.denial(admin, kind, account)
                conflict = await conflict_of(tx, kind, account, self._window)
                unavailable[kind] = denial.detail if denial else str(conflict) if conflict else None
            return AccountView(
                account=account,
                activity=await tx.activity.page(account_id, limit=limit, after=after),
                actions=await tx.actions.last_of(account_id, _ACTIONS_SHOWN),
                open_requests=await tx.requests.open_of(account_id, now - REQUEST_AGE),
                unavailable=unavailable,
                at=now,
            )
