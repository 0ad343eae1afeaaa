"""What should happen next after an error: one table for every consumer and worker."""

from __future__ import annotations

from enum import Enum, StrEnum

import asyncpg
from aiokafka.errors import KafkaError
from pydantic import ValidationError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.schemas.registry import MalformedEvent


class Disposition(Enum):
    RETRY = "retry"  # the same message may succeed later
    PARK = "park"  # it never will: to the dead letters
    IGNORE = "ignore"  # it is already done
    STOP = "stop"  # a bug: tried a few times, then to the dead letters


class Kind(StrEnum):
    """Why a record is a dead letter: the reason's class in metrics and filters."""

    MALFORMED = "malformed"  # the bytes are no event, or break its schema: the sender's fault, whoever reads them
    REFUSED = "refused"  # a well-formed event that a handler, or the database for its content, does not take
    FAILED = "failed"  # an error that nobody foresaw


class RetryableError(Exception):
    """Something that is away now and may be back later."""


class PoisonMessage(Exception):
    """A message that can never be processed. The text names no personal data: it goes into headers and logs."""


class AlreadyDone(Exception):
    """The effect is there already."""


# PostgreSQL error classes (appendix A): 08 connection, 40 rollback (deadlock, serialization), 53 resources, 55 object
# in use, 57 operator intervention (shutdown), 58 system error; 25006 is a standby that was not promoted yet.
_TRANSIENT_STATES = ("08", "25006", "40", "53", "55", "57", "58")
# Wrong for every message, so no message's fault: credentials (28), no such database (3D), a table, column or permission
# that a migration has not made yet. Parking would empty the topics into the dead letters within seconds.
_DEPLOYMENT_STATES = ("28", "3D", "42P01", "42703", "42501")


def classify(error: BaseException) -> Disposition:
    """The disposition of an error raised while a message or job was processed."""
    if isinstance(error, AlreadyDone):
        return Disposition.IGNORE
    if isinstance(error, PoisonMessage | MalformedEvent | ValidationError):
        return Disposition.PARK
    if isinstance(error, RetryableError | KafkaError | PoolTimeoutError | OSError | TimeoutError):
        return Disposition.RETRY
    if isinstance(error, DBAPIError):
        return _classify_database(error)
    # As they are, and not in SQLAlchemy's wrapping, when connecting: "the database system is starting up". An internal
    # error of the client is what a connection that dies in the middle of a statement has for the next one.
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError) or (
        isinstance(error, asyncpg.PostgresError) and _passes(error)
    ):
        return Disposition.RETRY
    return Disposition.STOP


def _passes(error: BaseException | None) -> bool:
    """Whether PostgreSQL will answer otherwise once somebody, or time, has mended it."""
    return (getattr(error, "sqlstate", None) or "").startswith((*_TRANSIENT_STATES, *_DEPLOYMENT_STATES))


def _classify_database(error: DBAPIError) -> Disposition:
    state = getattr(error.orig, "sqlstate", None) or ""
    if error.connection_invalidated or _passes(error.orig):
        return Disposition.RETRY
    if isinstance(error, IntegrityError | DataError) or state.startswith("22"):
        return Disposition.PARK
    if isinstance(error, OperationalError | InterfaceError) or (isinstance(error, InternalError) and not state):
        return Disposition.RETRY  # the driver's own internal error has no SQLSTATE
    return Disposition.STOP


def kind_of(error: Exception) -> Kind:
    """The kind of dead letter that an error makes of a record which passed its schema."""
    return Kind.REFUSED if classify(error) is Disposition.PARK else Kind.FAILED


def reason_of(error: Exception) -> str:
    """What a dead letter says of an error: no text of errors that may quote the record."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, PoisonMessage | MalformedEvent) else name
