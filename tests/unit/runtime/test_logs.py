"""Logs: one JSON line per event, standard logging included, secrets taken out."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from abbotik_runtime import logs
from tests.logs import restored_logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.BytesIO]:
    """Yield what a process configured for JSON writes to its stdout."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, write_through=True))
    with restored_logs():
        logs.configure("sample", "info")
        yield written


def _events(written: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def _fail(error: Exception) -> None:
    raise error


def test_a_line_says_when_who_and_what(lines: io.BytesIO) -> None:
    """A line is JSON with time, level, event, service and the members that were given."""
    logs.get("part").info("turn_claimed", room="r1", n=3)
    (event,) = _events(lines)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["at"])
    assert (event["level"], event["event"], event["service"]) == ("info", "turn_claimed", "sample")
    assert (event["room"], event["n"], event["source"]) == ("r1", 3, "part")


def test_bound_context_is_on_every_line(lines: io.BytesIO) -> None:
    """What was bound to the context, such as a request id, is part of each line within it."""
    with structlog.contextvars.bound_contextvars(request_id="q1", tenant="t1"):
        logs.get("part").info("inside")
        logging.getLogger("library").warning("library line")
    logs.get("part").info("outside")
    inside, library, outside = _events(lines)
    assert (inside["request_id"], inside["tenant"]) == ("q1", "t1")
    assert library["request_id"] == "q1"
    assert "request_id" not in outside


def test_lines_below_the_level_are_not_written(lines: io.BytesIO) -> None:
    """At level info neither our own nor a library's debug line appears."""
    logs.get("part").debug("own")
    logging.getLogger("library").debug("library")
    assert lines.getvalue() == b""


def test_standard_logging_flows_into_the_same_lines(lines: io.BytesIO) -> None:
    """A library's record is the same kind of line, formatted, with its traceback as a member."""
    try:
        _fail(ValueError("broken"))
    except ValueError:
        logging.getLogger("library").exception("failed %s", 7)
    (event,) = _events(lines)
    assert (event["event"], event["level"], event["service"]) == ("failed 7", "error", "sample")
    assert "ValueError: broken" in event["exception"]


@pytest.mark.parametrize(
    "members",
    [
        {"token": "canary"},
        {"Authorization": "canary"},
        {"headers": {"authorization": "canary", "cookie": "canary"}},
        {"password": "canary"},
        {"client_secret": b"canary"},
        {"api_key": "canary"},
        {"key": "canary"},
        {"note": "sent Authorization: Bearer canary"},
        {"url": "mongodb://user:canary@host:27017/"},
        {"list": [{"token": "canary"}]},
    ],
)
def test_secrets_are_redacted(members: dict[str, Any], lines: io.BytesIO) -> None:
    """A secret does not reach the line, whether its member's name or the text around it tells."""
    logs.get("part").info("event", **members)
    assert b"canary" not in lines.getvalue()
    assert b"[redacted]" in lines.getvalue()


def test_secrets_in_tracebacks_are_redacted(lines: io.BytesIO) -> None:
    """A driver's error text that quotes a URL with a password is cleaned too."""
    try:
        _fail(ConnectionError("cannot reach mongodb://user:canary@host/"))
    except ConnectionError:
        logs.get("part").exception("lost")
    written = lines.getvalue().split(b"ConnectionError: ")[1]
    assert b"canary" not in written


def test_counts_and_names_are_kept(lines: io.BytesIO) -> None:
    """Redaction spares what only sounds like a secret: token counts and actor keys."""
    logs.get("part").info("turn", output_tokens=12, actor_key="coder")
    (event,) = _events(lines)
    assert (event["output_tokens"], event["actor_key"]) == (12, "coder")
