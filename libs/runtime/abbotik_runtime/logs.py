"""One JSON line per event on stdout, secrets taken out; standard logging flows into the same."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

import orjson
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from abbotik_kernel.clock import rfc3339

# Members whose name says that the value is a secret. Numbers stay: `output_tokens` is a count.
_SECRET_NAME = re.compile(
    r"token|authorization|passw|secret|cookie|credential|api[_-]?key|private[_-]?key|^key$",
    re.IGNORECASE,
)
# Secrets inside of texts: a bearer token, and the password of a URL (driver errors quote URLs).
_SECRET_TEXT = re.compile(r"(?i)(bearer\s+)[^\s\"',;]+|(\w+://[^\s:/@]*:)[^\s@/]+(?=@)")

_REDACTED = "[redacted]"

# Libraries that say at `info` what only a debugging session needs.
_QUIET = ("uvicorn", "uvicorn.error", "uvicorn.access", "nats", "faststream", "pymongo")


def _clean(value: object) -> object:
    match value:
        case str():
            return _SECRET_TEXT.sub(lambda found: (found[1] or found[2]) + _REDACTED, value)
        case dict():
            return {name: _clean_member(str(name), inner) for name, inner in value.items()}
        case list() | tuple():
            return [_clean(inner) for inner in value]
        case _:
            return value


def _clean_member(name: str, value: object) -> object:
    if _SECRET_NAME.search(name) and isinstance(value, str | bytes | list | dict | tuple):
        return _REDACTED
    return _clean(value)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace the values of secret members, and secrets inside of texts; a structlog processor."""
    return {name: _clean_member(name, value) for name, value in event.items()}


def _stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["at"] = rfc3339(time.time_ns() // 1_000_000)
    return event


def _named(service: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    first = {name: event.pop(name) for name in ("at", "level", "event")}
    return orjson.dumps({**first, **event}, default=repr, option=orjson.OPT_NON_STR_KEYS)


def _json_text(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return _json(logger, method, event).decode()


def configure(
    service: str,
    level: str = "info",
    format: Literal["json", "console"] = "json",  # noqa: A002 - the setting's name
) -> None:
    """Send structlog and standard logging of this process to stdout as ``format``.

    A line holds `at` (RFC 3339, ms), `level`, `event`, `service` and what was bound: request_id,
    tenant, room and the like, by `structlog.contextvars`.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _stamp,
        _named(service),
    ]
    finish: list[Processor] = [structlog.processors.format_exc_info, redact]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stdout.isatty(),
        timestamp_key="at",
        exception_formatter=structlog.dev.plain_traceback,
    )
    as_json = format == "json"
    structlog.configure(
        processors=[*shared, *finish, _json if as_json else console],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=(
            structlog.BytesLoggerFactory(sys.stdout.buffer)
            if as_json
            else structlog.PrintLoggerFactory(sys.stdout)
        ),
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(number, shared, [*finish, _json_text if as_json else console])


def _route_standard_logging(
    level: int, before: list[Processor], after: list[Callable[..., Any]]
) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *after],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(max(level, logging.WARNING))


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose lines carry ``source=name``; it takes effect after `configure`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(source=name)
    return logger
