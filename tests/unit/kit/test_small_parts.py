"""Time and ids, traces, what happens after an error, and when a mail is tried again."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError, NotControllerError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.kit.clock import utc_now, uuid7
from shared.kit.mail.retry import MailRetry, pause_before
from shared.kit.mail.sender import PermanentFailure, TemporaryFailure
from shared.kit.messaging.errors import AlreadyDone, Disposition, PoisonMessage, RetryableError, classify
from shared.kit.messaging.events import Pauses
from shared.kit.messaging.tracing import current_traceparent, new_traceparent, trace
from shared.schemas.registry import MalformedEvent, decode


def test_now_is_aware_and_in_utc() -> None:
    assert utc_now().utcoffset() == timedelta(0)


@given(st.integers(0, 250_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
def test_a_uuid7_begins_with_its_time(moment: datetime) -> None:
    made = uuid.UUID(uuid7(lambda: moment))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == int(moment.timestamp() * 1000)


def test_uuid7s_sort_by_time_and_never_repeat() -> None:
    start = datetime(2026, 11, 24, tzinfo=UTC)
    made = [uuid7(lambda at=start + timedelta(milliseconds=n): at) for n in range(500)]  # type: ignore[misc]
    assert made == sorted(made)
    assert len({uuid7(lambda: start) for _ in range(5000)}) == 5000


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_trace_is_continued_with_a_span_of_our_own() -> None:
    with trace(PARENT) as value:
        assert value[3:35] == PARENT[3:35]
        assert value[36:52] != PARENT[36:52]
        assert current_traceparent() == value
        with trace(None) as inner:
            assert inner[3:35] != PARENT[3:35]
        assert current_traceparent() == value
    assert current_traceparent() is None


@pytest.mark.parametrize(
    "value",
    [None, "", "x", PARENT + "\n", PARENT.upper(), PARENT + "-00", " " + PARENT, "00-" + "0" * 32 + PARENT[35:],
     "ff" + PARENT[2:], PARENT.replace("-", "_"), "00-" + "٣" * 32 + PARENT[35:], PARENT[:-1]],
)  # fmt: skip
def test_what_is_no_trace_context_begins_a_new_trace(value: str | None) -> None:
    with trace(value) as begun:
        assert begun[3:35] != PARENT[3:35]
        assert len(begun) == len(PARENT)
        assert begun.isascii()
    assert new_traceparent() != new_traceparent()


def wrapped(kind: type[DBAPIError], cause: BaseException, *, invalidated: bool = False) -> DBAPIError:
    return kind("statement", {}, cause, connection_invalidated=invalidated)


def validation_error() -> Exception:
    class Model(BaseModel):
        a: int

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"a": "x"})
    return caught.value


def malformed() -> Exception:
    with pytest.raises(MalformedEvent) as caught:
        decode(b"{")
    return caught.value


RETRY, PARK, IGNORE, STOP = Disposition.RETRY, Disposition.PARK, Disposition.IGNORE, Disposition.STOP


@pytest.mark.parametrize(
    ("error", "disposition"),
    [
        (RetryableError(), RETRY),
        (PoisonMessage("x"), PARK),
        (AlreadyDone(), IGNORE),
        (malformed(), PARK),
        (validation_error(), PARK),
        (KafkaConnectionError(), RETRY),
        (NotControllerError(), RETRY),
        (MessageSizeTooLargeError(), RETRY),
        (ConnectionResetError(), RETRY),
        (TimeoutError(), RETRY),
        (PoolTimeoutError(), RETRY),
        (wrapped(DBAPIError, asyncpg.DeadlockDetectedError("x")), RETRY),
        (wrapped(DBAPIError, asyncpg.SerializationError("x")), RETRY),
        (wrapped(DBAPIError, asyncpg.AdminShutdownError("x")), RETRY),
        (wrapped(DBAPIError, asyncpg.QueryCanceledError("x")), RETRY),
        (wrapped(DBAPIError, asyncpg.TooManyConnectionsError("x")), RETRY),
        (wrapped(DBAPIError, asyncpg.DiskFullError("x")), RETRY),
        (wrapped(DBAPIError, asyncpg.LockNotAvailableError("x")), RETRY),
        (wrapped(DBAPIError, asyncpg.ReadOnlySQLTransactionError("x")), RETRY),
        (wrapped(DBAPIError, Exception("gone"), invalidated=True), RETRY),
        (wrapped(InterfaceError, asyncpg.InterfaceError("connection is closed")), RETRY),
        (wrapped(OperationalError, Exception("x")), RETRY),
        # What asyncpg has for the next statement on a connection that died in the middle of one
        (wrapped(InternalError, asyncpg.InternalClientError("unexpected protocol state")), RETRY),
        (asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"), RETRY),
        (wrapped(InternalError, asyncpg.DataCorruptedError("x")), STOP),
        # Not wrapped by SQLAlchemy, when connecting
        (asyncpg.CannotConnectNowError("the database system is starting up"), RETRY),
        (asyncpg.ConnectionDoesNotExistError("x"), RETRY),
        (asyncpg.TooManyConnectionsError("x"), RETRY),
        (asyncpg.InterfaceError("connection is closed"), RETRY),
        # What somebody has to mend, and no message's fault
        (asyncpg.InvalidPasswordError("x"), RETRY),
        (asyncpg.InvalidCatalogNameError("x"), RETRY),
        (wrapped(ProgrammingError, asyncpg.UndefinedTableError("x")), RETRY),
        (wrapped(ProgrammingError, asyncpg.UndefinedColumnError("x")), RETRY),
        (wrapped(ProgrammingError, asyncpg.InsufficientPrivilegeError("x")), RETRY),
        (wrapped(DBAPIError, asyncpg.UntranslatableCharacterError("x")), PARK),
        (wrapped(DBAPIError, asyncpg.StringDataRightTruncationError("x")), PARK),
        (wrapped(ProgrammingError, asyncpg.PostgresSyntaxError("x")), STOP),
        (wrapped(ProgrammingError, asyncpg.InFailedSQLTransactionError("x")), STOP),
        (asyncpg.PostgresSyntaxError("x"), STOP),
        (KeyError("x"), STOP),
        (AssertionError(), STOP),
        (ValueError(), STOP),
    ],
    ids=lambda value: type(getattr(value, "orig", None) or value).__name__ if isinstance(value, Exception) else "",
)
def test_what_happens_after_an_error(error: Exception, disposition: Disposition) -> None:
    assert classify(error) is disposition


def test_pauses_double_up_to_the_longest() -> None:
    pauses = Pauses(0.2, 15)
    assert [pauses.after(n) for n in (0, 1, 2, 6, 7, 10_000)] == [0.2, 0.4, 0.8, 12.8, 15, 15]


def test_mails_are_tried_again_with_growing_pauses() -> None:
    """Contract section 9: 5 s, 15 s, 30 s, …, at most 30 min."""
    assert [pause_before(attempt) for attempt in range(2, 13)] == [5, 15, 30, 60, 120, 240, 480, 960, 1800, 1800, 1800]
    assert pause_before(100) == 1800


def attempts(horizon: timedelta, error: Exception | None) -> list[float]:
    """Seconds after the first attempt at which a mail is tried again."""
    retry, first = MailRetry(horizon), datetime(2026, 11, 24, tzinfo=UTC)
    at = first
    times: list[float] = []
    while True:
        pause = retry.get_next_attempt_delay(
            first_attempt_at=first, last_attempt_at=at, attempts_count=len(times) + 1, exception=error
        )
        if pause is None:
            return times
        at += timedelta(seconds=pause)
        times.append((at - first).total_seconds())


def test_a_mail_is_tried_until_its_horizon() -> None:
    day = attempts(timedelta(hours=24), TemporaryFailure(450, "later"))
    assert day[:5] == [5, 20, 50, 110, 230]
    assert 24 * 3600 - 1800 <= day[-1] <= 24 * 3600
    hour = attempts(timedelta(hours=1), None)
    assert hour[-1] <= 3600
    assert attempts(timedelta(hours=24), PermanentFailure(550, "no")) == []
