"""Attempts: counted, compared elsewhere, and told of later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.recovery.domain.actions import MAX_WRONG_ATTEMPTS
from services.recovery.domain.secrets import Sealed
from services.recovery.ports import Candidate, Rejections, Window

# One statement for every attempt, right, wrong or for an address that nobody has: one look into one index, by the
# address's hash and the selector together. Row locks make both counts exact, however many attempts come at once; the
# action is counted before the account, so that guesses beyond the fifth leave the account's count alone.
_COUNT_ATTEMPT = text("""
    WITH candidates AS MATERIALIZED (
        SELECT c.credential_id, c.key_id, c.salt, c.digest, a.action_id, a.account_id
        FROM credentials AS c JOIN actions AS a USING (action_id)
        WHERE c.address_hash = ANY(CAST(:hashes AS text[])) AND c.selector = :selector
          AND c.expires_at > clock_timestamp() AND a.status IN ('queued', 'sent')
        ORDER BY c.credential_id LIMIT 4
    ), counted AS (
        UPDATE actions SET wrong_attempts = wrong_attempts + 1
        WHERE action_id IN (SELECT action_id FROM candidates)
          AND status IN ('queued', 'sent') AND wrong_attempts < :most
        RETURNING action_id, account_id, wrong_attempts
    ), allowed AS (
        INSERT INTO attempt_windows AS w (account_id, started_at, attempts)
        SELECT DISTINCT account_id, clock_timestamp(), 1 FROM counted
        ON CONFLICT (account_id) DO UPDATE SET
            attempts = CASE WHEN w.started_at <= clock_timestamp() - CAST(:period AS interval)
                            THEN 1 ELSE w.attempts + 1 END,
            started_at = CASE WHEN w.started_at <= clock_timestamp() - CAST(:period AS interval)
                              THEN clock_timestamp() ELSE w.started_at END
        WHERE CAST(:limit AS integer) IS NULL OR w.attempts < :limit
           OR w.started_at <= clock_timestamp() - CAST(:period AS interval)
        RETURNING account_id
    )
    SELECT candidates.*, counted.wrong_attempts
    FROM candidates JOIN counted USING (action_id) JOIN allowed ON allowed.account_id = candidates.account_id
""")
_FIND_LINK = text("""
    SELECT c.credential_id, c.key_id, c.salt, c.digest, a.action_id, a.account_id, 0 AS wrong_attempts
    FROM credentials AS c JOIN actions AS a USING (action_id)
    WHERE c.lookup = ANY(CAST(:lookups AS bytea[])) AND c.expires_at > clock_timestamp()
      AND a.status IN ('queued', 'sent')
""")
_GIVE_BACK = text("UPDATE attempt_windows SET attempts = attempts - 1 WHERE account_id = :account_id AND attempts > 0")
_ATTEMPTS = text("""
    SELECT attempts FROM attempt_windows
    WHERE account_id = :account_id AND started_at > clock_timestamp() - CAST(:period AS interval)
""")
_REJECT = text("""
    INSERT INTO rejections AS r (address_hash, window_start, window_end, attempts, networks)
    VALUES (:address_hash, clock_timestamp(), clock_timestamp() + CAST(:length AS interval), 1, ARRAY[:network])
    ON CONFLICT (address_hash) DO UPDATE SET attempts = r.attempts + 1,
        networks = CASE WHEN r.networks @> EXCLUDED.networks OR cardinality(r.networks) >= 20
                        THEN r.networks ELSE r.networks || EXCLUDED.networks END
""")
# Only an address that belongs to one account names it.
_TAKE_REJECTIONS = text("""
    WITH taken AS (
        DELETE FROM rejections WHERE address_hash IN (
            SELECT address_hash FROM rejections
            WHERE CASE WHEN CAST(:address_hash AS text) IS NULL THEN window_end <= clock_timestamp()
                       ELSE address_hash = :address_hash END
            ORDER BY address_hash LIMIT :limit FOR UPDATE SKIP LOCKED
        ) RETURNING *
    )
    SELECT taken.address_hash, attempts, window_start, least(window_end, clock_timestamp()) AS window_end, networks,
           (SELECT max(k.account_id) FROM known_accounts AS k WHERE k.email_hash = taken.address_hash
            HAVING count(*) = 1) AS account_id
    FROM taken
""")


def _candidate(row: Any) -> Candidate:
    return Candidate(
        credential_id=row.credential_id,
        action_id=row.action_id,
        account_id=row.account_id,
        sealed=Sealed(row.key_id, bytes(row.salt), bytes(row.digest)),
        attempt=row.wrong_attempts,
    )


class SqlCredentials:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def count_attempt(self, hashes: Sequence[str], selector: str, window: Window) -> Sequence[Candidate]:
        rows = await self._connection.execute(
            _COUNT_ATTEMPT,
            {
                "hashes": list(hashes),
                "selector": selector,
                "most": MAX_WRONG_ATTEMPTS,
                "limit": window.attempts,
                "period": window.period,
            },
        )
        return [_candidate(row) for row in rows]

    async def find_link(self, lookups: Sequence[bytes]) -> Candidate | None:
        row = (await self._connection.execute(_FIND_LINK, {"lookups": list(lookups)})).first()
        return _candidate(row) if row is not None else None

    async def give_back(self, account_id: str) -> None:
        await self._connection.execute(_GIVE_BACK, {"account_id": account_id})

    async def attempts_left(self, account_id: str, window: Window) -> bool:
        if window.attempts is None:
            return True
        parameters = {"account_id": account_id, "period": window.period}
        used = (await self._connection.execute(_ATTEMPTS, parameters)).scalar_one_or_none()
        return used is None or int(used) < window.attempts

    async def reject(self, address_hash: str, network: str, window: timedelta) -> None:
        parameters = {"address_hash": address_hash, "network": network, "length": window}
        await self._connection.execute(_REJECT, parameters)

    async def take_rejections(self, limit: int, address_hash: str | None = None) -> Sequence[Rejections]:
        rows = await self._connection.execute(_TAKE_REJECTIONS, {"limit": limit, "address_hash": address_hash})
        return [
            Rejections(
                row.address_hash, row.account_id, row.attempts, row.window_start, row.window_end, tuple(row.networks)
            )
            for row in rows
        ]
