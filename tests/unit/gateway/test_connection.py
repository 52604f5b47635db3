"""How an answer's bytes leave the gateway."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import cast

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from abbotik_gateway.adapters.connection import Connection, Pieces, WholeAnswer
from abbotik_gateway.adapters.http_server import config
from abbotik_gateway.streams import ABORT, WRITE


class Wire:
    """A transport that notes each write, and that it was closed."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Note what would be one system call."""
        self.seen.append(data)

    def get_extra_info(self, _name: str, default: object = None) -> object:
        """Know no address."""
        return default

    def abort(self) -> None:
        """Note it as an end."""
        self.close()

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


@pytest.fixture
def flow(wire: Wire) -> FlowControl:
    """Return what says whether the reader keeps up."""
    return FlowControl(cast("asyncio.Transport", wire))


@pytest.fixture
def pieces(wire: Wire, flow: FlowControl) -> Pieces:
    """Return the way of a body in pieces."""
    return Pieces(cast("asyncio.Transport", wire), flow)


async def test_piece_of_a_body_is_a_chunk(pieces: Pieces, wire: Wire) -> None:
    """As HTTP/1.1 has it: the size in hex, then the bytes."""
    assert pieces.write(b"x" * 26)
    assert wire.seen == [b"1a\r\n" + b"x" * 26 + b"\r\n"]


async def test_nothing_is_written_to_who_reads_no_more(
    pieces: Pieces, wire: Wire, flow: FlowControl
) -> None:
    """Neither to a full connection, where the task waits, nor to one that is gone."""
    flow.write_paused = True
    assert not pieces.write(b"x")
    assert wire.seen == []
    flow.write_paused = False
    wire.close()
    assert not pieces.write(b"x")
    assert wire.seen == [b"closed"]


def connected(wire: Wire, seen: list[set[str]]) -> Connection:
    """Return the server's side of a connection; ``seen`` are the extensions of its requests."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(set(scope["extensions"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    served_so = config(app, Connection)
    served_so.load()
    connection = Connection(served_so, ServerState(), {})
    connection.connection_made(cast("asyncio.Transport", wire))
    return connection


async def ask(connection: Connection, method: str) -> None:
    """Send a request, and return when it was answered."""
    connection.data_received(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    await asyncio.wait(connection.tasks)


async def test_only_an_answer_with_a_body_has_a_way_for_it(wire: Wire) -> None:
    """A piece after the head that answers HEAD would be read as the next answer."""
    seen: list[set[str]] = []
    connection = connected(wire, seen)
    for method in ("GET", "HEAD", "GET"):
        await ask(connection, method)
    assert seen == [{ABORT, WRITE}, {ABORT}, {ABORT, WRITE}]
    connection.connection_lost(None)


async def test_a_connection_that_ended_is_freed_at_once(wire: Wire) -> None:
    """Not by the collector, which comes rarely."""
    gc.collect()
    gc.disable()
    try:
        connection = connected(wire, [])
        await ask(connection, "GET")
        connection.connection_lost(None)
        gone = weakref.ref(connection)
        del connection
        assert gone() is None
    finally:
        gc.enable()
