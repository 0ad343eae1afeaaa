"""`readmit rebuild SERVICE`: a service's projections, made anew from the ledgers of those whose events it consumes."""

import asyncio
import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from deploy.commands import checkups
from deploy.errors import CommandError, MissingSettingsError
from deploy.local.overrides import Overrides, variable
from shared.kit.projection import Outcome, Projection, RebuildError
from shared.kit.rebuild import rebuild as rebuild_projection
from shared.kit.settings import SettingsError

REBUILT = ("enrichment", "notifier", "recovery")


def rebuild(
    service: str,
    environ: Mapping[str, str],
    folder: Path,
    *,
    check: bool = False,
    as_json: bool = False,
    allow_unknown: bool = False,
) -> int:
    """Make the projections anew and print a digest of each table before and after.

    Returns:
        0; with `check`, which changes nothing, 1 when a table differs from what the ledgers say.
    """
    environments, _ = checkups.environments(environ, folder)
    projection, database = _projection_of(service, environments[service])
    publishers = _publishers_of(projection, environments)
    try:
        outcome = asyncio.run(
            rebuild_projection(projection, database, publishers, check=check, allow_unknown=allow_unknown)
        )
    except RebuildError as error:
        raise CommandError(str(error)) from error
    except (OSError, SQLAlchemyError, asyncpg.PostgresError) as error:
        raise CommandError(f"{service} cannot be rebuilt, nothing was changed: {error}") from error
    print(json.dumps(_as_json(outcome), indent=2) if as_json else _for_people(outcome, check=check), flush=True)
    return 1 if check and not outcome.equal else 0


def _projection_of(service: str, environ: Mapping[str, str]) -> tuple[Projection, str]:
    module = importlib.import_module(f"services.{service}.rebuild")
    settings_class: Any = module.SETTINGS
    try:
        settings = settings_class.load(environ)
    except SettingsError as error:
        raise CommandError(f"{service} would not start with these settings: {error}") from error
    return module.projection(settings), settings.database_url


def _publishers_of(projection: Projection, environments: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    found = {name: Overrides(environments[name]).value("DATABASE_URL", name) for name in projection.publishers}
    if missing := [variable("DATABASE_URL", name) for name, url in found.items() if not url]:
        raise MissingSettingsError(missing, f"They say where the ledgers are that {projection.service} is made from.")
    return {name: url for name, url in found.items() if url}


def _as_json(outcome: Outcome) -> dict[str, Any]:
    tables = [asdict(table) | {"equal": table.equal} for table in outcome.tables]
    return asdict(outcome) | {"tables": tables, "equal": outcome.equal}


def _for_people(outcome: Outcome, *, check: bool) -> str:
    taken = f"{outcome.events} events folded in {outcome.seconds:.1f} s"
    lines = [f"{outcome.service}: {taken}, its writers held for {outcome.held_seconds:.2f} s"]
    if outcome.unknown:
        lines.append(f"{outcome.unknown} events that it consumed are in no ledger any more")
    width = max(len(table.table) for table in outcome.tables)
    for table in outcome.tables:
        lines.append(f"  {table.table:<{width}}  before  {table.before.sha256}  {table.before.rows} rows")
        lines.append(f"  {'':<{width}}  after   {table.after.sha256}  {table.after.rows} rows")
    if outcome.equal:
        lines.append("The tables hold what the ledgers say.")
    else:
        different = ", ".join(table.table for table in outcome.tables if not table.equal)
        lines.append(f"{different}: {'differs from what the ledgers say' if check else 'made anew'}.")
    return "\n".join(lines)
