"""What time does: codes and links run out, windows close, old rows go."""

from __future__ import annotations

from datetime import timedelta

from services.recovery.ports import Transactions
from services.recovery.usecases.chronicle import SERVICE, Chronicle, common
from services.recovery.usecases.redeem import record_rejections
from shared.schemas.recovery import ActionExpired, ActionExpiredData

BATCH = 200
ANSWERS_KEPT = timedelta(hours=24)
ACTIVITY_KEPT = timedelta(days=100)  # as long as the ledgers (DESIGN section 1): a replay must not revive what is gone


class Sweep:
    """Safe to run in every replica: rows are locked and skipped, and each change happens once."""

    def __init__(self, transactions: Transactions, chronicle: Chronicle) -> None:
        self._transactions = transactions
        self._chronicle = chronicle

    async def expire(self) -> int:
        """Writes down what has run out; returns how much."""
        async with self._transactions.begin() as tx:
            expired = await tx.actions.expire(BATCH)
            for action in expired:
                assert action.expires_at is not None
                data = ActionExpiredData(**common(action, SERVICE), expired_at=action.expires_at)
                await self._chronicle.record(tx, ActionExpired, data, key=action.account_id)
        return len(expired)

    async def tell_rejections(self) -> int:
        """Publishes the windows of refused attempts that are over; returns how many."""
        async with self._transactions.begin() as tx:
            windows = await tx.credentials.take_rejections(BATCH)
            for rejections in windows:
                await record_rejections(tx, self._chronicle, rejections)
        return len(windows)

    async def forget(self) -> None:
        """Removes answers and activity that are past their time."""
        async with self._transactions.begin() as tx:
            now = await tx.now()
            await tx.answers.forget(now - ANSWERS_KEPT)
            await tx.activity.forget(now - ACTIVITY_KEPT)
