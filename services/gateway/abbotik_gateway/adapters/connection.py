"""uvicorn's connection, with what streams need of it, and answers that leave as a whole."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from abbotik_gateway.streams import ABORT, WRITE

_CONTINUE = b"HTTP/1.1 100 "


class Connection(HttpToolsProtocol):
    """Give it to uvicorn as ``http``.

    An application can end a response but not a connection: closed with bytes that nobody reads,
    it would keep them for as long as the reader's TCP stays up. And to send a piece of a body it
    must be a task that waits, which each event would have to wake for each of its followers.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take the connection."""
        super().connection_made(transport)
        self._pieces = Pieces(transport, self.flow)

    def on_message_begin(self) -> None:
        """Begin a request, and let its streams abort the connection."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item] # uvicorn's type knows extensions without callables

    def on_headers_complete(self) -> None:
        """Begin the answer."""
        before = self.cycle
        super().on_headers_complete()
        # The answer to HEAD is a head alone.
        if self.cycle is not before and self.scope["method"] != "HEAD":
            self.cycle.transport = WholeAnswer(self.transport)  # type: ignore[assignment] # all of it that an answer needs
            self.scope["extensions"][WRITE] = self._pieces.write  # type: ignore[assignment] # as above


class Pieces:
    """The way of a body that is sent in pieces.

    It knows neither the connection nor a request: they know it, and would not be freed.
    """

    def __init__(self, transport: asyncio.Transport, flow: FlowControl) -> None:
        self._transport = transport
        self._flow = flow

    def write(self, data: bytes) -> bool:
        """Write a piece at once; says no where the reader does not keep up, or has gone."""
        if self._flow.write_paused or self._transport.is_closing():
            return False
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True


class WholeAnswer:
    """One answer's way to the transport: its head leaves together with the first of its body.

    uvicorn writes them one after the other, and the event loop sends each write at once: a system
    call more for every answer, and a reader that is woken for half of one.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        # Empty before it was written, None after it has left.
        self._head: bytes | None = b""

    def write(self, data: bytes) -> None:
        """Keep the head, send everything else."""
        if self._head:
            data, self._head = self._head + data, None
        elif self._head is not None and not data.startswith(_CONTINUE):
            self._head = data
            return
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Say whether the connection ends."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection after what was written."""
        if self._head:
            self._transport.write(self._head)
        self._transport.close()
