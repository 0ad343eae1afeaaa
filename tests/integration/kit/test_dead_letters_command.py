"""`readmit dead-letters` on the database of a running service."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from unittest.mock import Mock

import pytest
import pytest_asyncio
from sqlalchemy import text

from deploy.commands import dead_letters as command
from deploy.errors import CommandError, MissingSettingsError
from shared.kit.db.unit import UnitOfWork
from shared.kit.messaging import dead_letter_worker
from shared.kit.messaging.dead_letter_store import Selection, State
from shared.kit.messaging.errors import PoisonMessage
from shared.schemas.identity import PasswordChanged
from tests.engines import PostgresEngine
from tests.integration.kit.conftest import Toy, wait_for
from tests.integration.kit.test_dead_letters import BAD, letters, wait_for_letters
from tests.integration.kit.test_messaging import committed, send

ALL = command.Chosen([], True, Selection())
Capture = pytest.CaptureFixture[str]


def environ(toy: Toy, service: str = "notifier") -> dict[str, str]:
    return {f"READMIT_{service.upper()}_DATABASE_URL": toy.plumbing.settings.database_url}


@pytest_asyncio.fixture
async def poison(toy: Toy) -> AsyncIterator[PasswordChanged]:
    """An event that was refused, between two records that are none."""

    async def refuse(_: PasswordChanged, __: UnitOfWork) -> None:
        raise PoisonMessage("not today")

    toy.on_event = refuse
    event = toy.event()
    await send(toy, BAD, event.to_bytes(), b"", headers=[("weird", b"\xff\xfe")])
    await wait_for_letters(toy, 3)
    toy.on_event = None
    yield event


async def run(function: object, *arguments: object, **options: object) -> object:
    assert callable(function)
    return await asyncio.to_thread(function, *arguments, **options)


async def listed(toy: Toy, capsys: Capture, selection: Selection | None = None, **options: object) -> list[str]:
    capsys.readouterr()
    form = command.Form(bool(options.pop("as_json", False)), bool(options.pop("with_bytes", False)))
    await run(command.list_, environ(toy), selection or Selection(), form, **options)
    return capsys.readouterr().out.splitlines()


async def test_letters_are_listed_as_a_table_and_as_json(toy: Toy, poison: PasswordChanged, capsys: Capture) -> None:
    heading, *lines = await listed(toy, capsys)
    assert heading.split() == ["ID", "PARKED", "AT", "TOPIC", "GROUP", "AT", "SIZE", "STATE", "REASON"]
    assert len(lines) == 3
    assert any("refused: PoisonMessage: not today" in line and " parked " in line for line in lines)
    documents = [json.loads(line) for line in await listed(toy, capsys, as_json=True)]
    assert [document["id"] for document in documents] == [line.split()[0] for line in lines]
    (refused,) = [document for document in documents if document["kind"] == "refused"]
    assert (refused["topic"], refused["group"], refused["state"]) == (toy.topic, toy.group, "parked")
    assert refused["size"] == len(poison.to_bytes())
    selection = command.select(None, None, None, "refused", None)
    assert len(await listed(toy, capsys, selection)) == 2
    with_bytes = [json.loads(line) for line in await listed(toy, capsys, as_json=True, with_bytes=True)]
    values = [base64.b64decode(document["value_base64"]) for document in with_bytes]
    assert sorted(values) == sorted([BAD, poison.to_bytes(), b""])
    assert await listed(toy, capsys, command.select(["nowhere"], None, None, None, None)) == ["no dead letters"]


async def test_pages_continue_after_an_id(toy: Toy, capsys: Capture) -> None:
    await send(toy, *[b"%d" % number for number in range(25)])
    await wait_for_letters(toy, 25)
    found: list[str] = []
    after = None
    for size in (10, 10, 5):
        lines = await listed(toy, capsys, limit=10, after=after)
        page = [line.split()[0] for line in lines[1:]]
        assert len(page) == size
        found, after = found + page, page[-1]
    assert found == [f"notifier-{letter.id}" for letter in await letters(toy)]
    assert await listed(toy, capsys, limit=10, after=after) == ["no more dead letters"]


async def test_the_bytes_come_out_as_they_went_in(toy: Toy, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    values = [BAD, b"\x00\n\xff", b'{"a": 1}', b""]
    await send(toy, *values, headers=[("weird", b"\xff\xfe")])
    shown = {}
    for letter in await wait_for_letters(toy, 4):
        capsysbinary.readouterr()
        await run(command.show, environ(toy), f"notifier-{letter.id}", raw=True, as_json=False)
        shown[letter.offset] = capsysbinary.readouterr().out
        await run(command.show, environ(toy), f"notifier-{letter.id}", raw=False, as_json=True)
        document = json.loads(capsysbinary.readouterr().out)
        assert base64.b64decode(document["value_base64"]) == shown[letter.offset]
        assert base64.b64decode(document["key_base64"]) == b"k"
        (header,) = document["headers"]
        assert base64.b64decode(header["name_base64"]) == b"weird"
        assert base64.b64decode(header["value_base64"]) == b"\xff\xfe"
    assert [shown[offset] for offset in sorted(shown)] == values


async def test_show_tells_the_whole_story(toy: Toy, poison: PasswordChanged, capsys: Capture) -> None:
    (letter,) = await letters(toy, Selection(reason="refused"))
    name = f"notifier-{letter.id}"
    await run(command.drop, environ(toy), command.Chosen([name], False, Selection()), by="kim", because="known since")
    capsys.readouterr()
    await run(command.show, environ(toy), name, raw=False, as_json=False)
    said = capsys.readouterr().out
    assert f"topic      {toy.topic}, partition" in said
    assert "header     weird: hex ff fe" in said
    assert "drop by kim, because known since: dropped" in said
    assert f'  "id": "{poison.id}",' in said


async def test_a_replay_is_waited_for_and_says_how_it_ended(toy: Toy, poison: PasswordChanged, capsys: Capture) -> None:
    assert await run(command.replay, environ(toy), ALL, by=None, wait=20) == 1
    assert "notifier: 3 asked for, 1 replayed, 2 failed again, 0 wait" in capsys.readouterr().out
    assert await committed(toy) == [poison.id]
    lines = await listed(toy, capsys)
    assert sum("parked (1 failed)" in line for line in lines) == 2
    assert sum(" replayed " in line for line in lines) == 1
    (done,) = await letters(toy, Selection(states=[State.REPLAYED]))
    chosen = command.Chosen([f"notifier-{done.id}", "notifier-999999"], False, Selection())
    assert await run(command.replay, environ(toy), chosen, by=None, wait=0) == 0
    said = capsys.readouterr().err
    assert f"notifier-{done.id}: left as it is" in said
    assert "notifier-999999: left as it is" in said


async def test_a_drop_is_recorded_and_logged_by_the_service(
    toy: Toy, poison: PasswordChanged, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Mock()  # where lines go, and which, is configured by the process
    monkeypatch.setattr(dead_letter_worker, "log", log)
    with pytest.raises(CommandError, match="--because"):
        await run(command.drop, environ(toy), ALL, by="kim", because=" ")
    await run(command.drop, environ(toy), ALL, by="kim", because="theirs")
    assert capsys.readouterr().out.splitlines()[-1] == "notifier: 3 dropped"
    rows = await toy.rows('SELECT DISTINCT action, "by", because, outcome FROM dead_letter_actions')
    assert [tuple(row) for row in rows] == [("drop", "kim", "theirs", "dropped")]
    assert len(await toy.rows("SELECT 1 FROM ledger WHERE type = 'readmit.dead-letter.v1'")) == 3

    async def logged() -> bool:
        return len(log.info.call_args_list) == 3

    await wait_for(logged)
    assert len(await toy.rows("SELECT 1 FROM dead_letter_actions WHERE logged")) == 3
    assert [call.args for call in log.info.call_args_list] == [("dead_letter.dropped",)] * 3


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (command.Chosen([], False, Selection()), "which"),
        (command.Chosen(["notifier-1"], True, Selection()), "not both"),
        (command.Chosen(["notifier-1"], False, Selection(topics=["t"])), "not both"),
        (command.Chosen(["notifier-0"], False, Selection()), "no dead letter's id"),
        (command.Chosen(["notifier-1; DROP"], False, Selection()), "no dead letter's id"),
        (command.Chosen(["recovery-1"], False, Selection()), "READMIT_RECOVERY_DATABASE_URL"),
    ],
)
def test_a_choice_that_says_too_little_or_too_much_is_refused(chosen: command.Chosen, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        chosen.by_service(["notifier"])


async def test_what_is_missing_is_named(postgres_engine: PostgresEngine) -> None:
    with pytest.raises(MissingSettingsError, match="READMIT_NOTIFIER_DATABASE_URL"):
        command.databases({})
    old = {"READMIT_NOTIFIER_DATABASE_URL": await postgres_engine.create("old")}
    with pytest.raises(CommandError, match="readmit migrate"):
        await run(command.list_, old, Selection(), command.Form())
    with pytest.raises(CommandError, match="--json"):
        await run(command.list_, old, Selection(), command.Form(with_bytes=True))
    with pytest.raises(CommandError, match="--state"):
        command.select(None, None, None, None, ["lost"])


async def test_a_letter_that_is_not_there_is_an_error(toy: Toy) -> None:
    with pytest.raises(CommandError, match="there is no dead letter notifier-77"):
        await run(command.show, environ(toy), "notifier-77", raw=False, as_json=False)


async def test_the_ledgers_row_takes_the_letter_along(toy: Toy, poison: PasswordChanged) -> None:
    """Letters live as long as the ledger: whatever cleans that up needs to know nothing of them."""
    async with toy.plumbing.engine.begin() as connection:
        await connection.execute(text("DELETE FROM ledger WHERE type = 'readmit.dead-letter.v1'"))
    assert await letters(toy) == []
