"""`readmit replay`: publishes again from the services' ledgers, after a broker was lost."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from deploy.errors import USAGE, CommandError, MissingSettingsError
from deploy.local.overrides import SERVICES, Overrides, variable
from shared.kit.ledger import replay as replay_ledger


def replay(environ: Mapping[str, str], *, since: datetime | None, topics: Collection[str] | None) -> None:
    """Queue the ledgers of all services whose database is set; the running services publish them."""
    overrides = Overrides(environ)
    found = {service: url for service in SERVICES if (url := overrides.value("DATABASE_URL", service))}
    if not found:
        names = [variable("DATABASE_URL", service) for service in SERVICES]
        raise MissingSettingsError(names, "At least one must say where a ledger is.")
    for service, outcome in zip(found, asyncio.run(_replay(found, since, topics)), strict=True):
        if isinstance(outcome, (OSError, SQLAlchemyError, asyncpg.PostgresError)):
            raise CommandError(f"{service}: the ledger cannot be replayed: {outcome}") from outcome
        if isinstance(outcome, BaseException):
            raise outcome
        print(f"{service}: {outcome} queued", flush=True)


async def _replay(
    found: Mapping[str, str], since: datetime | None, topics: Collection[str] | None
) -> list[int | BaseException]:
    replays = (replay_ledger(url, since=since, topics=topics) for url in found.values())
    return await asyncio.gather(*replays, return_exceptions=True)


def parse_time(value: str | None) -> datetime | None:
    """A moment from ISO 8601; UTC unless it names a zone."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise CommandError(f"--since: {value} is no time like 2026-11-24T01:43:05Z", exit_code=USAGE) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
