"""Reading the facts. Every statement is bounded by its index: none reads a row a sign-in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.enrichment.domain.accounts import Account, AccountPatch, account_of
from services.enrichment.domain.confusables import skeleton
from services.enrichment.domain.milestones import Milestone, MilestoneKind
from services.enrichment.domain.origin import Origin
from services.enrichment.domain.signins import ANY_NETWORK, account_key, address_key
from services.enrichment.domain.snapshot import (
    EARLIER_REQUESTS,
    MOST_SHOWN,
    PAST_FAILURES,
    RECENT_FAILURES,
    RECENT_SIGNINS,
    AccountSnapshot,
    Earlier,
    FailureCounts,
    SeenPlace,
)
from services.enrichment.ports import AllHashes
from shared.kit.addresses import normalise_address
from shared.schemas.enrichment import UsedBefore
from shared.schemas.intake import AssistanceRequested

_PATCH = """
    account_id, reported_version, display_name, locale, time_zone, disabled, removed_version, email_version, email,
    two_factor_version, two_factor_enabled, backup_codes_version, unused_backup_codes, locked_version, locked
"""
_ACCOUNT = text(f"SELECT {_PATCH} FROM accounts WHERE account_id = :account_id")  # noqa: S608
# A few look-alikes are as telling as a thousand; two with the same address are already ambiguous.
_BY_ADDRESS = text(f"""
    (SELECT true AS exact, {_PATCH} FROM accounts
     WHERE email_key = :key AND reported_version > removed_version ORDER BY account_id LIMIT 2)
    UNION ALL
    (SELECT false, {_PATCH} FROM accounts
     WHERE email_skeleton = :skeleton AND email_key <> :key AND reported_version > removed_version
     ORDER BY account_id LIMIT 5)
""")  # noqa: S608

_MILESTONES = text("SELECT account_id, kind, version, at, details FROM milestones WHERE account_id = :account_id")

_FEEDS = text("SELECT name, first_at FROM feeds")

# The latest places first, then their days: at most 20 × 91 rows, however many sign-ins and places there are.
_RECENT = text("""
    SELECT recent.*, (
        SELECT coalesce(sum(count), 0) FROM seen_days AS days
        WHERE (days.account_id, days.kind, days.key) = (:account_id, recent.kind, recent.key) AND days.day >= :first_day
    ) AS days_count
    FROM (VALUES ('location'), ('network')) AS kinds (kind), LATERAL (
        SELECT seen.kind, key, label, last_at, latitude, longitude, accuracy_km FROM seen
        WHERE account_id = :account_id AND seen.kind = kinds.kind
          AND seen.kind IN ('network', 'location', 'country') AND last_at >= :since
        ORDER BY last_at DESC LIMIT :limit
    ) AS recent
    ORDER BY last_at DESC, key
""")

# Countries are at most 250; the other three are single rows.
_PLACES = text("""
    SELECT kind, key, label, count, last_at FROM seen WHERE account_id = :account_id AND kind = 'country'
    UNION ALL
    SELECT kind, key, label, count, last_at FROM seen
    WHERE account_id = :account_id AND (kind, key) IN (('ip', :ip), ('prefix', :prefix), ('network', :network))
    ORDER BY last_at DESC, key
""")

# Whole hours are summed, only the two hours that a window begins in are counted event by event.
_FAILURES = text("""
    SELECT network = '' AS anywhere, failure, max(last_at) AS last_at,
           sum(count) FILTER (WHERE hour >= :day_hour) AS day, sum(count) AS month
    FROM failed_signin_hours
    WHERE key = ANY(:keys) AND network IN ('', :network) AND hour >= :month_hour
    GROUP BY 1, 2
    UNION ALL
    SELECT true, failure, max(at), count(*), 0 FROM failed_signins
    WHERE key = ANY(:keys) AND at >= :day_start AND at < :day_hour GROUP BY failure
    UNION ALL
    SELECT false, failure, max(at), count(*), 0 FROM failed_signins
    WHERE key = ANY(:keys) AND at >= :day_start AND at < :day_hour AND network = :network GROUP BY failure
    UNION ALL
    SELECT true, failure, max(at), 0, count(*) FROM failed_signins
    WHERE key = ANY(:keys) AND at >= :month_start AND at < :month_hour GROUP BY failure
""")

# More than a thousand earlier requests are a thousand.
_EARLIER = text("""
    SELECT reference_id, at, suppressed, network FROM (
        (SELECT * FROM requests WHERE email_hash = ANY(:hashes) AND at >= :since AND at <= :at
         ORDER BY at DESC LIMIT 1000)
        UNION
        (SELECT * FROM requests WHERE account_id = :account_id AND at >= :since AND at <= :at
         ORDER BY at DESC LIMIT 1000)
    ) AS found
    WHERE (at, reference_id) < (:at, :reference_id)
    ORDER BY at DESC, reference_id DESC LIMIT 1000
""")


@dataclass(slots=True)
class FoundAccounts:
    """The accounts that have an address, and those whose address looks like it."""

    exact: list[Account] = field(default_factory=list)
    look_alikes: list[Account] = field(default_factory=list)


class PostgresFacts:
    """What is known, as a connection sees it."""

    def __init__(self, connection: AsyncConnection, all_hashes: AllHashes) -> None:
        self._connection = connection
        self._all_hashes = all_hashes

    async def _rows(self, statement: Any, **parameters: Any) -> list[Row[Any]]:
        return list((await self._connection.execute(statement, parameters)).all())

    async def account(self, account_id: str) -> Account | None:
        rows = await self._rows(_ACCOUNT, account_id=account_id)
        return account_of(_patch(rows[0])) if rows else None

    async def accounts_by_address(self, address: str) -> FoundAccounts:
        found = FoundAccounts()
        key = normalise_address(address)
        for row in await self._rows(_BY_ADDRESS, key=key, skeleton=skeleton(address)):
            account = account_of(_patch(row))
            assert account is not None, "the statement leaves removed accounts out"
            (found.exact if row.exact else found.look_alikes).append(account)
        return found

    async def snapshot(self, account: Account, *, as_of: datetime, origin: Origin | None) -> AccountSnapshot:
        feeds = {row.name: row.first_at for row in await self._rows(_FEEDS)}
        recent = await self._recent(account.account_id, as_of)
        places = await self._rows(
            _PLACES,
            account_id=account.account_id,
            ip=origin.ip if origin else "",
            prefix=origin.prefix if origin else "",
            network=origin.network_key if origin else "",
        )
        used = {(row.kind, row.key): UsedBefore(used=True, count=row.count, last_at=row.last_at) for row in places}
        return AccountSnapshot(
            account=account,
            as_of=as_of,
            first_signin_at=feeds.get("signins"),
            watching_since=feeds["recovery"],
            milestones=await self._milestones(account.account_id),
            locations=tuple(place for kind, place in recent if kind == "location"),
            networks=tuple(place for kind, place in recent if kind == "network"),
            countries={row.key: row.label for row in places if row.kind == "country"},
            failures=await self._failures(account, as_of, origin),
            ip_used=_used(used, ("ip", origin.ip)) if origin else None,
            # Sign-ins from before the AS of an address was known are found by its prefix.
            network_used=_used(used, ("network", origin.network_key), ("prefix", origin.prefix)) if origin else None,
        )

    async def _milestones(self, account_id: str) -> dict[MilestoneKind, Milestone]:
        rows = await self._rows(_MILESTONES, account_id=account_id)
        found = [Milestone(row.account_id, MilestoneKind(row.kind), row.version, row.at, row.details) for row in rows]
        return {milestone.kind: milestone for milestone in found}

    async def _recent(self, account_id: str, as_of: datetime) -> list[tuple[str, SeenPlace]]:
        since = as_of - RECENT_SIGNINS
        rows = await self._rows(
            _RECENT, account_id=account_id, since=since, first_day=since.astimezone(UTC).date(), limit=MOST_SHOWN
        )
        return [
            (
                row.kind,
                SeenPlace(
                    row.key, row.label, int(row.days_count), row.last_at, row.latitude, row.longitude, row.accuracy_km
                ),
            )
            for row in rows
        ]

    async def _failures(self, account: Account, as_of: datetime, origin: Origin | None) -> FailureCounts:
        keys = [account_key(account.account_id)]
        if account.email:  # those that named the address only
            keys += [address_key(digest) for digest in self._all_hashes(account.email)]
        day_start, month_start = as_of - RECENT_FAILURES, as_of - PAST_FAILURES
        rows = await self._rows(
            _FAILURES,
            keys=keys,
            network=origin.network_key if origin else ANY_NETWORK,
            day_start=day_start,
            day_hour=_next_hour(day_start),
            month_start=month_start,
            month_hour=_next_hour(month_start),
        )
        by_failure: dict[str, int] = {}
        for row in rows:
            if row.anywhere and row.month:
                by_failure[row.failure] = by_failure.get(row.failure, 0) + int(row.month)
        return FailureCounts(
            last_24_hours=sum(int(row.day or 0) for row in rows if row.anywhere),
            last_30_days=sum(by_failure.values()),
            by_failure=by_failure,
            last_at=max((row.last_at for row in rows if row.anywhere), default=None),
            from_network=sum(int(row.day or 0) for row in rows if not row.anywhere),
        )

    async def earlier(
        self, request: AssistanceRequested, *, hashes: Collection[str], account_id: str | None
    ) -> list[Earlier]:
        at = request.data.requested_at
        rows = await self._rows(
            _EARLIER,
            hashes=list(hashes),
            account_id=account_id,
            since=at - EARLIER_REQUESTS,
            at=at,
            reference_id=request.data.reference_id,
        )
        return [Earlier(row.reference_id, row.at, row.suppressed, row.network) for row in rows]


def _patch(row: Row[Any]) -> AccountPatch:
    return AccountPatch(**{name: value for name, value in row._mapping.items() if name != "exact"})


def _used(used: dict[tuple[str, str], UsedBefore], *places: tuple[str, str]) -> UsedBefore:
    return next((used[place] for place in places if place in used), UsedBefore(used=False))


def _next_hour(moment: datetime) -> datetime:
    """The first full hour at or after a moment."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if hour == moment else hour + timedelta(hours=1)
