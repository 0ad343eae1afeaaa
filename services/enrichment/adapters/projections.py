"""Writing the projections: one statement a table and batch, arrays instead of rows (`unnest`).

Each statement takes its rows sorted by key: two writers then lock in the same order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.enrichment.domain.accounts import AccountPatch
from services.enrichment.domain.confusables import skeleton
from services.enrichment.domain.milestones import Milestone
from services.enrichment.domain.signins import ANY_NETWORK, Failure, SigninSums
from shared.kit.addresses import normalise_address
from shared.schemas.envelope import Event
from shared.schemas.intake import AssistanceSuppressed


def _newer(version: str, *columns: str) -> str:
    """The assignments that take these columns over where the new version is the newer one."""
    assignments = [f"{version} = greatest(old.{version}, new.{version})"]
    assignments += [
        f"{column} = CASE WHEN new.{version} > old.{version} THEN new.{column} ELSE old.{column} END"
        for column in columns
    ]
    return ", ".join(assignments)


def _merge(table: str, columns: dict[str, str], key: str, assignments: str) -> str:
    """An upsert of arrays, one a column; in the assignments `old` and `new` are the two rows."""
    names = ", ".join(columns)
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
    return (
        f"INSERT INTO {table} AS old ({names}) SELECT * FROM unnest({arrays}) "  # noqa: S608 (names are ours)
        f"ON CONFLICT ({key}) DO UPDATE SET {assignments.replace('new.', 'excluded.')}"
    )


_ACCOUNTS = {
    "account_id": "text", "reported_version": "text", "display_name": "text", "locale": "text", "time_zone": "text",
    "disabled": "boolean", "removed_version": "text", "email_version": "text", "email": "text", "email_key": "text",
    "email_skeleton": "text", "two_factor_version": "text", "two_factor_enabled": "boolean",
    "backup_codes_version": "text", "unused_backup_codes": "integer", "locked_version": "text", "locked": "boolean",
}  # fmt: skip
_MERGE_ACCOUNTS = text(
    _merge(
        "accounts",
        _ACCOUNTS,
        "account_id",
        ", ".join(
            (
                _newer("reported_version", "display_name", "locale", "time_zone", "disabled"),
                _newer("removed_version"),
                _newer("email_version", "email", "email_key", "email_skeleton"),
                _newer("two_factor_version", "two_factor_enabled"),
                _newer("backup_codes_version", "unused_backup_codes"),
                _newer("locked_version", "locked"),
            )
        ),
    )
)

_MILESTONES = {"account_id": "text", "kind": "text", "version": "text", "at": "timestamptz", "details": "jsonb"}
_MERGE_MILESTONES = text(_merge("milestones", _MILESTONES, "account_id, kind", _newer("version", "at", "details")))

_SEEN = {
    "account_id": "text", "kind": "text", "key": "text", "label": "text", "count": "integer",
    "first_at": "timestamptz", "last_at": "timestamptz", "version": "text",
    "latitude": "double precision", "longitude": "double precision", "accuracy_km": "integer",
}  # fmt: skip
_MERGE_SEEN = text(
    _merge(
        "seen",
        _SEEN,
        "account_id, kind, key",
        "count = old.count + new.count, first_at = least(old.first_at, new.first_at), "
        "last_at = greatest(old.last_at, new.last_at), "
        + _newer("version", "label", "latitude", "longitude", "accuracy_km"),
    )
)

_SEEN_DAYS = {"account_id": "text", "kind": "text", "key": "text", "day": "date", "count": "integer"}
_MERGE_SEEN_DAYS = text(_merge("seen_days", _SEEN_DAYS, "account_id, kind, key, day", "count = old.count + new.count"))

_ADD_FAILURES = text("""
    INSERT INTO failed_signins (key, at, failure, network)
    SELECT * FROM unnest(CAST(:key AS text[]), CAST(:at AS timestamptz[]), CAST(:failure AS text[]),
                         CAST(:network AS text[]))
""")
_FAILURE_HOURS = {
    "key": "text", "network": "text", "hour": "timestamptz", "failure": "text", "count": "integer",
    "last_at": "timestamptz",
}  # fmt: skip
_MERGE_FAILURE_HOURS = text(
    _merge(
        "failed_signin_hours",
        _FAILURE_HOURS,
        "key, network, hour, failure",
        "count = old.count + new.count, last_at = greatest(old.last_at, new.last_at)",
    )
)

_FEED_BEGAN = text("""
    INSERT INTO feeds AS old (name, first_at) VALUES (:name, :at)
    ON CONFLICT (name) DO UPDATE SET first_at = excluded.first_at WHERE excluded.first_at < old.first_at
""")

_ADD_REQUESTS = text("""
    INSERT INTO requests (reference_id, email_hash, at, suppressed, network)
    SELECT * FROM unnest(CAST(:reference_id AS text[]), CAST(:email_hash AS text[]), CAST(:at AS timestamptz[]),
                         CAST(:suppressed AS boolean[]), CAST(:network AS text[]))
    ON CONFLICT DO NOTHING
""")


def _arrays(columns: Iterable[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: [row[index] for row in rows] for index, name in enumerate(columns)}


class PostgresProjections:
    """The projections, within the transaction of a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def merge_accounts(self, patches: Sequence[AccountPatch]) -> None:
        columns: dict[str, list[Any]] = {name: [] for name in _ACCOUNTS}
        for patch in patches:
            derived = {
                "email_key": normalise_address(patch.email) if patch.email else "",
                "email_skeleton": skeleton(patch.email) if patch.email else "",
            }
            for name, values in columns.items():
                values.append(derived[name] if name in derived else getattr(patch, name))
        await self._connection.execute(_MERGE_ACCOUNTS, columns)

    async def merge_milestones(self, milestones: Sequence[Milestone]) -> None:
        rows = [(one.account_id, one.kind, one.version, one.at, json.dumps(one.details)) for one in milestones]
        await self._connection.execute(_MERGE_MILESTONES, _arrays(_MILESTONES, rows))

    async def add_signins(self, sums: SigninSums) -> None:
        if sums.seen:
            rows = [
                (
                    *place, one.label, one.count, one.first_at, one.last_at, one.version,
                    one.latitude, one.longitude, one.accuracy_km,
                )
                for place, one in sorted(sums.seen.items())
            ]  # fmt: skip
            await self._connection.execute(_MERGE_SEEN, _arrays(_SEEN, rows))
            days = [(*place, count) for place, count in sorted(sums.days.items())]
            await self._connection.execute(_MERGE_SEEN_DAYS, _arrays(_SEEN_DAYS, days))
        if sums.failures:
            await self._add_failures(sums.failures)

    async def _add_failures(self, failures: Sequence[Failure]) -> None:
        rows = [(failure.key, failure.at, failure.failure, failure.network) for failure in failures]
        await self._connection.execute(_ADD_FAILURES, _arrays(("key", "at", "failure", "network"), rows))
        counts: Counter[tuple[str, str, datetime, str]] = Counter()
        last: dict[tuple[str, str, datetime, str], datetime] = {}
        for failure in failures:
            hour = failure.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            for network in (ANY_NETWORK, failure.network):
                place = (failure.key, network, hour, failure.failure)
                counts[place] += 1
                last[place] = max(last.get(place, failure.at), failure.at)
        hours = [(*place, count, last[place]) for place, count in sorted(counts.items())]
        await self._connection.execute(_MERGE_FAILURE_HOURS, _arrays(_FAILURE_HOURS, hours))

    async def feed_began(self, name: str, at: datetime) -> None:
        await self._connection.execute(_FEED_BEGAN, {"name": name, "at": at})

    async def add_requests(self, requests: Sequence[tuple[Event[Any], str]]) -> None:
        columns = ("reference_id", "email_hash", "at", "suppressed", "network")
        rows = [
            (
                event.data.reference_id, event.data.email_hash, event.data.requested_at,
                isinstance(event, AssistanceSuppressed), network,
            )
            for event, network in requests
        ]  # fmt: skip
        await self._connection.execute(_ADD_REQUESTS, _arrays(columns, rows))
