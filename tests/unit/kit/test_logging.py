"""Log lines: one form for ours and the libraries', and nothing personal in them."""

from __future__ import annotations

import asyncio
import gc
import logging

import asyncpg
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError

from shared.kit.logging import get_logger
from shared.kit.mail.sender import TemporaryFailure
from shared.kit.messaging.errors import PoisonMessage
from shared.kit.messaging.tracing import trace
from tests.unit.kit.conftest import Printed

PERSON = "person@example.org"


class Row(BaseModel):
    email: int


def test_a_line_is_one_json_object(printed: Printed) -> None:
    get_logger("services.toy").info("thing.happened", reference_id="RA-1", text="a\nb\x1b[31m\u2028ü")
    logging.getLogger("library").warning("said %s", "x")
    ours, theirs = printed.lines
    assert printed.text.count("\n") == 2
    assert ours == {
        "event": "thing.happened", "level": "info", "logger": "services.toy", "reference_id": "RA-1", "service": "toy",
        "text": "a\nb\x1b[31m\u2028ü", "timestamp": ours["timestamp"],
    }  # fmt: skip
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("said x", "warning", "library")
    assert theirs["service"] == "toy"


def test_lines_hold_the_trace_that_they_belong_to(printed: Printed) -> None:
    with trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        get_logger("a").info("within")
        logging.getLogger("library").warning("within")
    get_logger("a").info("outside")
    assert [line.get("trace_id") for line in printed.lines] == ["0af7651916cd43dd8448eb211c80319c"] * 2 + [None]


def fail(error: BaseException) -> None:
    local_secret = "s3cret-in-a-local-variable"
    assert local_secret
    raise error


def database_error() -> IntegrityError:
    cause = asyncpg.UniqueViolationError(f"Key (email)=({PERSON}) already exists")
    return IntegrityError(f"INSERT INTO t VALUES ('{PERSON}')", {"email": PERSON}, cause)


def test_exceptions_are_described_without_what_they_quote(printed: Printed) -> None:
    errors: list[BaseException] = [database_error(), ValueError(PERSON), KeyError(PERSON), UnicodeError(PERSON)]
    try:
        Row.model_validate({"email": PERSON})
    except ValueError as refused:
        errors.append(refused)
    for error in errors:
        try:
            fail(error)
        except Exception as caught:
            get_logger("a").error("it.broke", exc_info=caught)
            get_logger("a").exception("it.broke")
            logging.getLogger("library").exception("broke")
    assert PERSON not in printed.text
    assert "s3cret" not in printed.text
    assert len(printed.lines) == 3 * len(errors)
    for line in printed.lines:
        assert set(line["exception"]) <= {"type", "frames", "sqlstate"}
        assert any("test_logging.py" in frame and frame.endswith(" fail") for frame in line["exception"]["frames"])
    assert printed.lines[0]["exception"]["sqlstate"] == "23505"


def test_what_is_ours_or_the_operating_systems_is_said(printed: Printed) -> None:
    for error in (PoisonMessage("no such kind"), ConnectionRefusedError(111, "Connection refused")):
        get_logger("a").error("it.broke", exc_info=error)
    messages = [line["exception"]["message"] for line in printed.lines]
    assert messages == [
        "no such kind",
        "[Errno 111] Connection refused",
    ]


def test_what_a_mail_server_said_is_not_logged_with_its_exception(printed: Printed) -> None:
    class SmtpDisconnected(ConnectionError):
        """Like aiosmtplib's: derived from the operating system's error, with the server's words."""

    get_logger("a").error("it.broke", exc_info=SmtpDisconnected(f"550 {PERSON} unknown"))
    get_logger("a").error("it.broke", exc_info=TemporaryFailure(450, f"{PERSON} is over quota"))
    assert PERSON not in printed.text


async def test_a_task_that_nobody_waited_for_is_reported_without_its_message(printed: Printed) -> None:
    async def broken() -> None:
        raise ValueError(PERSON)

    task = asyncio.create_task(broken())
    await asyncio.sleep(0.01)
    del task
    gc.collect()
    await asyncio.sleep(0.01)
    lines = [line for line in printed.lines if line["logger"] == "asyncio"]
    assert [line["event"] for line in lines] == ["Task exception was never retrieved"]
    assert lines[0]["exception"]["type"] == "builtins.ValueError"
    assert PERSON not in printed.text


def test_libraries_that_log_records_are_kept_quiet(printed: Printed) -> None:
    logging.getLogger("aiokafka.consumer").warning("record %s", PERSON)
    logging.getLogger("httpx").info("GET https://example.org/?token=s3cret")
    assert printed.text == ""
