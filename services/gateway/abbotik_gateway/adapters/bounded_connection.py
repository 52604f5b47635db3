"""uvicorn's connection with bounds on what comes before a request is one."""

from __future__ import annotations

import asyncio

import orjson

from abbotik_gateway.adapters.connection import Connection
from abbotik_gateway.domain.problem import Problem
from abbotik_runtime.ids import uuid7

# From a request's first byte, or from the connection's begin, to the end of its headers.
HEAD_S = 15.0
# Far above what the edge answers with 431; past it nothing but the connection's end helps.
HEAD_BYTES = 256 * 1024


class BoundedConnection(Connection):
    """Closes a connection whose headers trickle in, never end, or never begin.

    httptools puts no limit on either; a body has its own, where it is read.
    """

    _alarm: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for a request, not for ever."""
        super().connection_made(transport)
        self._set_alarm()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head, and wait for the rest; most come whole."""
        super().data_received(data)
        if self._in_head:
            self._set_alarm()
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """End a head."""
        self._in_head = False
        self._quiet()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the alarm."""
        self._quiet()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP as the API answers everything, and close."""
        problem = Problem("HEADER_INVALID", f"The request cannot be read: {msg}")
        body = orjson.dumps(problem.body("/"))
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"
            b"content-length: %d\r\nx-request-id: %b\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head % (len(body), uuid7().encode()) + body)
        self.transport.close()

    def _set_alarm(self) -> None:
        if self._alarm is None:
            self._alarm = self.loop.call_later(HEAD_S, self._too_slow)

    def _quiet(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _too_slow(self) -> None:
        self._alarm = None
        # A pipelined request may still be answered; its answer goes out before the close.
        self.transport.close()
