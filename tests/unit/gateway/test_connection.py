"""How an answer's bytes leave the gateway."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from starlette.types import ASGIApp
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from abbotik_gateway.adapters.connection import Connection, WholeAnswer
from abbotik_gateway.adapters.http_server import config


class Wire:
    """A transport that notes each write, and that it was closed."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Note what would be one system call."""
        self.seen.append(data)

    def is_closing(self) -> bool:
        """Say whether `close` was called."""
        return b"closed" in self.seen

    def close(self) -> None:
        """Note it."""
        self.seen.append(b"closed")


@pytest.fixture
def wire() -> Wire:
    """Return what the answer is written to."""
    return Wire()


@pytest.fixture
def answer(wire: Wire) -> WholeAnswer:
    """Return an answer of which nothing was written."""
    return WholeAnswer(cast("asyncio.Transport", wire))


def test_head_leaves_with_the_body(answer: WholeAnswer, wire: Wire) -> None:
    """One write for both; what follows goes out as it comes."""
    answer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    assert wire.seen == []
    for part in (b"one", b"two", b""):
        answer.write(part)
    assert wire.seen == [b"HTTP/1.1 200 OK\r\n\r\none", b"two", b""]


def test_head_of_an_empty_body_leaves_too(answer: WholeAnswer, wire: Wire) -> None:
    """The server writes the empty body."""
    answer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    answer.write(b"")
    assert wire.seen == [b"HTTP/1.1 204 No Content\r\n\r\n"]


def test_word_to_go_on_is_no_head(answer: WholeAnswer, wire: Wire) -> None:
    """A client that waits for it would wait for ever."""
    answer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    answer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    answer.write(b"body")
    assert wire.seen == [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nbody"]


def test_end_without_a_body_sends_the_head(answer: WholeAnswer, wire: Wire) -> None:
    """An application that broke after its head: the client sees that an answer was cut."""
    answer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    assert not answer.is_closing()
    answer.close()
    assert wire.seen == [b"HTTP/1.1 200 OK\r\n\r\n", b"closed"]
    assert answer.is_closing()


def served(wire: Wire) -> Connection:
    """Return a connection on the wire."""
    connection = Connection(config(cast("ASGIApp", None), Connection), ServerState(), {})
    connection.transport = cast("asyncio.Transport", wire)
    connection.flow = FlowControl(connection.transport)
    return connection


async def test_piece_of_a_body_is_a_chunk(wire: Wire) -> None:
    """As HTTP/1.1 has it: the size in hex, then the bytes."""
    assert served(wire).write_chunk(b"x" * 26)
    assert wire.seen == [b"1a\r\n" + b"x" * 26 + b"\r\n"]


async def test_nothing_is_written_to_who_reads_no_more(wire: Wire) -> None:
    """Neither to a full connection, where the task waits, nor to one that is gone."""
    connection = served(wire)
    connection.flow.write_paused = True
    assert not connection.write_chunk(b"x")
    assert wire.seen == []
    connection.flow.write_paused = False
    wire.close()
    assert not connection.write_chunk(b"x")
    assert wire.seen == [b"closed"]
