"""The load client: as little work per request and per event as Python allows.

Servers and client share two cores, so whatever the client burns is missing in what is measured.
Requests are encoded beforehand; answers and events are scanned as bytes, in the protocol callback,
where the clock is read too: the time of a sample ends when its bytes arrived.
"""

import asyncio
import gc
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import cast

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def stand_back() -> None:
    """Disturb what is measured as little as a client can; called when the servers have started.

    No pauses for garbage, and no answer takes the processor from the server that just wrote it: a
    client on a machine of its own could not do that either.
    """
    gc.disable()
    # A container may forbid it; the client then burns more.
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


@dataclass(frozen=True, slots=True)
class Target:
    """An HTTP server and the bearer token to call it with ("" for none)."""

    port: int
    token: str = ""
    host: str = "127.0.0.1"

    def head(self, method: str, path: str) -> str:
        """Return the request line and headers that every request carries, without the end."""
        auth = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        return f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{auth}"

    def post(self, path: str, body: bytes) -> bytes:
        """Encode a POST with a JSON body."""
        return (
            f"{self.head('POST', path)}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def get(self, path: str) -> bytes:
        """Encode a GET."""
        return f"{self.head('GET', path)}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body, and when the last byte had arrived (`perf_counter` seconds)."""

    status: int
    body: bytes
    at: float

    def expect(self, status: int) -> bytes:
        """Return the body; RuntimeError with its start when the status is another one."""
        if self.status != status:
            raise RuntimeError(f"expected {status}, got {self.status}: {self.body[:500]!r}")
        return self.body


def parse(data: bytes) -> tuple[int, bytes] | None:
    """Return status and body of a whole answer with Content-Length, None while it is incomplete."""
    split = data.find(b"\r\n\r\n")
    if split < 0:
        return None
    found = LENGTH.search(data, 0, split + 2)
    if found is None:
        raise RuntimeError(f"an answer without Content-Length: {data[:300]!r}")
    body = data[split + 4 :]
    return (int(data[9:12]), body) if len(body) >= int(found[1]) else None


class Caller(asyncio.Protocol):
    """One kept-alive connection that carries one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None

    @classmethod
    async def connect(cls, target: Target) -> "Caller":
        """Open the connection; OSError when nobody listens."""
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(cls, target.host, target.port))[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes) -> asyncio.Future[Answer]:
        """Write an encoded request and return its answer to come."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the server closed a kept-alive connection")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        """Complete the answer that is waited for."""
        if self._buffer:
            data = self._buffer + data
        whole = parse(data)
        if whole is None:
            self._buffer = data
            return
        at = perf_counter()
        self._buffer = b""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Answer(*whole, at))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that is still open."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionError("closed before the answer"))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


OnFrames = Callable[[bytes, float], None]


class Follower(asyncio.Protocol):
    """One SSE connection. `on_frames(block, at)` gets one or more whole frames.

    A block begins with a newline, so that each of its lines is found by the newline before it. The
    marks of HTTP's chunked coding stand between frames (a server sends whole ones) and stay there.
    """

    def __init__(self, request: bytes, on_frames: OnFrames) -> None:
        self._request = request
        self._on_frames = on_frames
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: str | None = None

    @classmethod
    async def connect(cls, target: Target, path: str, on_frames: OnFrames) -> "Follower":
        """Follow `path`; returns when the head of the answer says 200, RuntimeError if not."""
        loop = asyncio.get_running_loop()
        _, follower = await loop.create_connection(
            lambda: cls(target.get(path), on_frames), target.host, target.port
        )
        await follower.opened
        return follower

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and ask for the stream."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Pass on whole frames, keep the rest."""
        if self._rest:
            data = self._rest + data
        if not self.opened.done() and not self._open(data):
            self._rest = data
            return
        end = data.rfind(b"\n\n")
        if end < 0:
            self._rest = data
            return
        self._rest = data[end + 1 :]
        self._on_frames(data[: end + 1], perf_counter())

    def _open(self, data: bytes) -> bool:
        """Settle `opened` once the head is complete; says whether it is."""
        if b"\r\n\r\n" not in data:
            return False
        if data[9:12] == b"200":
            self.opened.set_result(None)
        else:
            self.opened.set_exception(RuntimeError(f"not an event stream: {data[:500]!r}"))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that the stream ended, with its last bytes."""
        self.lost = f"{exc or 'closed'}; {self._rest[-200:]!r}"
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("closed before the answer"))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
