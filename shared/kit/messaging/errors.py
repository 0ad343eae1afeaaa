"""What should happen next after an error: one table for every consumer and worker."""

from __future__ import annotations

from enum import Enum

from aiokafka.errors import KafkaError
from pydantic import ValidationError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.schemas.registry import MalformedEvent


class Disposition(Enum):
    RETRY = "retry"  # the same message may succeed later
    PARK = "park"  # it never will: to the dead letters
    IGNORE = "ignore"  # it is already done
    STOP = "stop"  # a bug: tried a few times, then to the dead letters


class RetryableError(Exception):
    """Something that is away now and may be back later."""


class PoisonMessage(Exception):
    """A message that can never be processed. The text names no personal data: it goes into headers and logs."""


class AlreadyDone(Exception):
    """The effect is there already."""


# PostgreSQL error classes (appendix A): 08 connection, 40 rollback (deadlock, serialization), 53 resources, 55 object
# in use, 57 operator intervention (shutdown), 58 system error.
_TRANSIENT_STATES = ("08", "40", "53", "55", "57", "58")


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
    return Disposition.STOP


def _classify_database(error: DBAPIError) -> Disposition:
    state = getattr(error.orig, "sqlstate", None) or ""
    if error.connection_invalidated or state.startswith(_TRANSIENT_STATES):
        return Disposition.RETRY
    if isinstance(error, IntegrityError | DataError) or state.startswith("22"):
        return Disposition.PARK
    if isinstance(error, OperationalError | InterfaceError):
        return Disposition.RETRY
    return Disposition.STOP
