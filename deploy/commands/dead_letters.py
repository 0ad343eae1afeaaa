"""`readmit dead-letters`: what could not be processed, and its way back in.

The truth is the databases of the services, so this needs no broker, and works when that lost its memory or its
retention has passed. A letter is called by its service and its number there. Replays are asked for here and done by the
service.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from deploy.commands.letter_text import COLUMNS, details, row, table
from deploy.commands.replay import parse_time
from deploy.errors import USAGE, CommandError, MissingSettingsError
from deploy.local.overrides import SERVICES, Overrides, variable
from shared.kit.db.engine import async_url
from shared.kit.messaging import dead_letter_store as store
from shared.kit.messaging.dead_letter_json import contents, members, told
from shared.kit.messaging.dead_letter_store import Letter, Selection, State
from shared.kit.messaging.dead_letters import Original

PAGE = 500
BYTES_PAGE = 50  # records may be as large as the broker takes
TABLE_LIMIT = 100
_POLL_SECONDS = 0.5
_ID = re.compile(rf"({'|'.join(SERVICES)})-([1-9][0-9]{{0,17}})")
_UNDEFINED_TABLE = "42P01"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters a replay or a drop is about: these, or all unsettled ones that the selection fits."""

    ids: Sequence[str]
    everything: bool
    selection: Selection

    def by_service(self, services: Sequence[str]) -> dict[str, Selection]:
        """What to select in each service's database. Raises CommandError when it says nothing, or too much."""
        narrowed = self.selection != Selection()
        if self.ids and (self.everything or narrowed):
            raise CommandError("name letters, or choose them by --all or filters, not both", exit_code=USAGE)
        if not self.ids and not self.everything and not narrowed:
            raise CommandError("which? Name letters, or choose them by --all or filters", exit_code=USAGE)
        if not self.ids:
            return {service: replace(self.selection, states=[State.PARKED]) for service in services}
        named: dict[str, list[int]] = {}
        for name in self.ids:
            service, number = parse_id(name)
            _require(service, services)
            named.setdefault(service, []).append(number)
        return {service: Selection(ids=numbers) for service, numbers in named.items()}


def select(
    topics: Sequence[str] | None,
    groups: Sequence[str] | None,
    since: str | None,
    reason: str | None,
    states: Sequence[str] | None,
) -> Selection:
    """The filters of the command line. Raises CommandError."""
    try:
        wanted = [State(state) for state in states or ()]
    except ValueError as error:
        raise CommandError(f"--state: one of {', '.join(State)}", exit_code=USAGE) from error
    return Selection(topics=topics or (), groups=groups or (), since=parse_time(since), reason=reason, states=wanted)


@dataclass(frozen=True, slots=True)
class Form:
    """How letters are printed: a table, or JSON lines, in which the records themselves may stand too."""

    as_json: bool = False
    with_bytes: bool = False

    @property
    def page(self) -> int:
        return BYTES_PAGE if self.with_bytes else PAGE


def list_(
    environ: Mapping[str, str], selection: Selection, form: Form, *, limit: int | None = None, after: str | None = None
) -> None:
    """Print letters, oldest first, service by service."""
    if form.with_bytes and not form.as_json:
        raise CommandError("--bytes goes with --json", exit_code=USAGE)
    urls = databases(environ)
    if limit is None:
        limit = 0 if form.as_json else TABLE_LIMIT
    begin = _begin(urls, after) if after else (0, 0)
    shown, total, last = asyncio.run(_list(urls, selection, form, limit, begin))
    if not form.as_json and not shown:
        print("no dead letters" if not total else "no more dead letters")
    if limit and shown == limit and last is not None:
        print(f"{total} in all; the next page: --after {last}", file=sys.stderr)


def _begin(urls: Mapping[str, str], after: str) -> tuple[int, int]:
    """The place among the databases, and the number there, after which a page begins."""
    service, number = parse_id(after)
    _require(service, list(urls))
    return list(urls).index(service), number


async def _list(
    urls: Mapping[str, str], selection: Selection, form: Form, limit: int, begin: tuple[int, int]
) -> tuple[int, int, str | None]:
    shown, total, last = 0, 0, None
    for place, (service, url) in enumerate(urls.items()):

        async def pages(connection: AsyncConnection, place: int = place, service: str = service) -> None:
            nonlocal shown, total, last
            total += await store.count_letters(connection, selection)
            after = begin[1] if place == begin[0] else 0
            while place >= begin[0] and (wanted := min(form.page, limit - shown) if limit else form.page) > 0:
                letters = await store.list_letters(connection, selection, after=after, limit=wanted)
                if not letters:
                    return
                originals = {}
                if form.with_bytes:
                    originals = await store.read_originals(connection, [letter.id for letter in letters])
                _print_page(service, letters, originals, form, heading=not shown)
                shown, after = shown + len(letters), letters[-1].id
                last = f"{service}-{after}"

        await _on(service, url, pages)
    return shown, total, last


def _print_page(
    service: str, letters: Sequence[Letter], originals: Mapping[int, Original], form: Form, *, heading: bool
) -> None:
    named = [(f"{service}-{letter.id}", letter) for letter in letters]
    if form.as_json:
        for name, letter in named:
            record = contents(originals[letter.id]) if letter.id in originals else {}
            print(json.dumps(members(name, letter) | record))
        return
    for line in table([*([COLUMNS] if heading else []), *(row(name, letter) for name, letter in named)]):
        print(line)


def show(environ: Mapping[str, str], name: str, *, raw: bool, as_json: bool) -> None:
    """Print one letter; with `raw` exactly the bytes of its value."""
    service, number = parse_id(name)
    urls = databases(environ)
    _require(service, list(urls))

    async def read(connection: AsyncConnection) -> tuple[Letter, Original, list[store.Action]] | None:
        return await store.read_letter(connection, number)

    found = asyncio.run(_on(service, urls[service], read))
    if found is None:
        raise CommandError(f"there is no dead letter {name}")
    letter, record, actions = found
    if raw:
        sys.stdout.buffer.write(record.value or b"")
        sys.stdout.buffer.flush()
    elif as_json:
        print(json.dumps(members(name, letter) | contents(record) | {"actions": told(actions)}))
    else:
        for line in details(name, letter, record, actions):
            print(line)


def replay(environ: Mapping[str, str], chosen: Chosen, *, by: str | None, wait: float) -> int:
    """Ask the services to process letters again, and wait for them to; 1 when any failed again."""
    urls = databases(environ)
    return asyncio.run(_replay(urls, chosen.by_service(list(urls)), by or _user(), wait))


async def _replay(urls: Mapping[str, str], wanted: Mapping[str, Selection], by: str, wait: float) -> int:
    failed = 0
    for service, selection in wanted.items():

        async def ask(connection: AsyncConnection, selection: Selection = selection) -> list[int]:
            return await store.ask_replay(connection, selection, by=by)

        asked = await _on(service, urls[service], ask)
        _say_untouched(service, selection, asked, "not parked or dropped")
        if not asked:
            continue
        counts = await _until_settled(service, urls[service], asked, wait)
        failed += counts[State.PARKED]
        print(
            f"{service}: {len(asked)} asked for, {counts[State.REPLAYED]} replayed, "
            f"{counts[State.PARKED]} failed again, {counts[State.REPLAYING]} wait for the service to do it"
        )
    return 1 if failed else 0


async def _until_settled(service: str, url: str, ids: Sequence[int], wait: float) -> dict[State, int]:
    async def count(connection: AsyncConnection) -> dict[State, int]:
        return {state: await store.count_letters(connection, Selection(ids=ids, states=[state])) for state in State}

    end = time.monotonic() + wait
    while True:
        counts = await _on(service, url, count)
        if not counts[State.REPLAYING] or time.monotonic() >= end:
            return counts
        await asyncio.sleep(_POLL_SECONDS)


def drop(environ: Mapping[str, str], chosen: Chosen, *, by: str | None, because: str) -> None:
    """Settle letters without an effect. Their bytes stay as long as the ledger's rows do."""
    if not because.strip():
        raise CommandError("--because must say why", exit_code=USAGE)
    urls, user = databases(environ), by or _user()
    for service, selection in chosen.by_service(list(urls)).items():

        async def settle(connection: AsyncConnection, selection: Selection = selection) -> list[int]:
            return await store.drop(connection, selection, by=user, because=because)

        dropped = asyncio.run(_on(service, urls[service], settle))
        _say_untouched(service, selection, dropped, "not parked")
        if dropped:
            print(f"{service}: {len(dropped)} dropped")


def _say_untouched(service: str, selection: Selection, done: Sequence[int], why: str) -> None:
    for number in sorted(set(selection.ids or ()) - set(done)):
        print(f"{service}-{number}: left as it is, {why} or not there", file=sys.stderr)


def parse_id(name: str) -> tuple[str, int]:
    """Service and number of a letter. Raises CommandError."""
    match = _ID.fullmatch(name)
    if match is None:
        raise CommandError(f"{name} is no dead letter's id such as notifier-12", exit_code=USAGE)
    return match[1], int(match[2])


def databases(environ: Mapping[str, str]) -> dict[str, str]:
    """The databases that are set, by service. Raises MissingSettingsError."""
    overrides = Overrides(environ)
    found = {service: url for service in SERVICES if (url := overrides.value("DATABASE_URL", service))}
    if not found:
        names = [variable("DATABASE_URL", service) for service in SERVICES]
        raise MissingSettingsError(names, "At least one must say where dead letters are.")
    return found


def _require(service: str, services: Sequence[str]) -> None:
    if service not in services:
        raise MissingSettingsError([variable("DATABASE_URL", service)], f"It says where {service}'s dead letters are.")


async def _on(service: str, url: str, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    """Does work in a transaction on a service's database. Raises CommandError."""
    engine = create_async_engine(async_url(url), pool_size=1, hide_parameters=True)
    try:
        async with engine.begin() as connection:
            return await work(connection)
    except (OSError, TimeoutError, SQLAlchemyError, asyncpg.PostgresError) as error:
        if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE:
            raise CommandError(f"{service}: its schema is older than this command: readmit migrate") from error
        raise CommandError(f"{service}: its database does not answer: {error}") from error
    finally:
        await engine.dispose()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"
