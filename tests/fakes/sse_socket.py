"""A follower on a real connection, which can stop reading as a hung client does."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from tests.eventually import eventually
from tests.fakes.sse_reader import Frame, parse


class SseSocket(asyncio.Protocol):
    """One GET on a connection of its own. ``status`` is 0 until the answer's head is there."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._head = b""
        self._raw = b""
        self._transport: Any = None
        self.body = b""
        self.status = 0
        self.over = False
        self.lost = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(
        cls, port: int, path: str, *, bearer: bool = True, header: str = "", buffer: int = 0
    ) -> SseSocket:
        """Ask for a path; ``buffer`` bounds what the kernel takes for a reader that stalls."""
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += ["Authorization: Bearer user-token"] if bearer else []
        lines += [f"Last-Event-ID: {header}"] if header else []
        request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        sock = socket.socket()
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        _, reader = await loop.create_connection(lambda: cls(request), sock=sock)
        return reader

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self._transport = transport
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take the head, then chunks."""
        self._raw += data
        if not self.status:
            head, end, rest = self._raw.partition(b"\r\n\r\n")
            if not end:
                return
            self._head, self._raw = head, rest
            self.status = int(head[9:12])
        if b"chunked" in self._head:
            self._take_chunks()
        else:
            self.body, self._raw = self.body + self._raw, b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the connection."""
        if not self.lost.done():
            self.lost.set_result(exc)

    @property
    def frames(self) -> list[Frame]:
        """All frames so far."""
        return parse(self.body.decode())

    @property
    def events(self) -> list[Any]:
        """The durable events so far."""
        return [frame.data for frame in self.frames if frame.data and "seq" in frame.data]

    @property
    def last(self) -> int:
        """The last position so far, found without reading everything."""
        start = self.body.rfind(b"\nid: ")
        return int(self.body[start + 5 : self.body.index(b"\n", start + 5)]) if start >= 0 else 0

    async def until(self, seq: int, within_s: float = 10.0) -> None:
        """Return once event ``seq`` has come."""
        await eventually(lambda: self.last >= seq, within_s)

    def stall(self) -> None:
        """Stop reading."""
        self._transport.pause_reading()

    def close(self) -> None:
        """Close the connection."""
        self._transport.abort()

    def _take_chunks(self) -> None:
        while True:
            size, end, rest = self._raw.partition(b"\r\n")
            length = int(size, 16) if end else 0
            if not end or len(rest) < length + 2:
                return
            self.body += rest[:length]
            self._raw = rest[length + 2 :]
            self.over = self.over or length == 0
