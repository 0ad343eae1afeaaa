"""JSON log lines on standard output: structlog's own and the libraries', in one form."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import structlog
from structlog.types import EventDict, Processor

# aiokafka logs whole records at DEBUG; FastStream warns at each start that it may not create topics, which is meant.
_QUIET = {
    "aiokafka": logging.ERROR,
    "faststream": logging.ERROR,
    "uvicorn.error": logging.WARNING,
    "httpx": logging.WARNING,
}


def configure_logging(service: str, level: str) -> None:
    """Sends every log line of the process to standard output; JSON unless it is a terminal."""

    def add_service(_: Any, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        add_service,
    ]
    terminal = sys.stdout.isatty()
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(sort_keys=True)
    )
    final: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _cut_asyncio,
        _describe_exception,
    ]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*final, renderer]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelName(level)))
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _cut_asyncio(_: Any, __: str, event: EventDict) -> EventDict:
    """Keeps the first line of asyncio's own messages: the others show the failed task's exception, message and all."""
    if event.get("logger") == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _describe_exception(_: Any, __: str, event: EventDict) -> EventDict:
    """Replaces an exception by its type and where it was raised.

    Its message is kept only where it is ours or the operating system's: the messages of the database driver and of
    validation quote rows and input, which hold personal data, and local variables may hold secrets.
    """
    info = event.pop("exc_info", None)
    error = (
        info[1]
        if isinstance(info, tuple)
        else info
        if isinstance(info, BaseException)
        else sys.exc_info()[1]
        if info
        else None
    )
    if error is None:
        return event
    described: dict[str, Any] = {"type": f"{type(error).__module__}.{type(error).__qualname__}"}
    # The operating system's own, and not what is derived from them: a mail server's answer quotes addresses.
    is_ours = type(error).__module__.split(".")[0] in {"shared", "services", "deploy"}
    if is_ours or (isinstance(error, OSError) and type(error).__module__ in {"builtins", "socket", "ssl"}):
        described["message"] = str(error)
    if (
        state := getattr(error, "sqlstate", None) or getattr(getattr(error, "orig", None), "sqlstate", None)
    ) is not None:
        described["sqlstate"] = state
    described["frames"] = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-8:]
    ]
    event["exception"] = described
    return event


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
