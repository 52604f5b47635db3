"""A TCP proxy that delays, cuts and holds what passes: a link between a service and its server."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_CHUNK = 65536
# How much one direction keeps while it is held; then its sender feels a full socket.
_HELD_CHUNKS = 256
_RESET = struct.pack("ii", 1, 0)

# Says which clients are meant, by the ports that they have when it is asked.
Whose = Callable[[], Container[int]]


def anybody() -> Container[int]:
    """Mean every client."""
    return range(1, 65536)


def nobody() -> Container[int]:
    """Mean no client."""
    return ()


@dataclass(frozen=True, slots=True)
class _Passage:
    """A client's connection; nothing of it passes while ``flowing`` is not set."""

    client: asyncio.StreamWriter
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def port(self) -> int:
        return int(self.client.get_extra_info("peername")[1])


class Link:
    """Listens on a free port of this machine, ``port``, and forwards to a server.

    It flows until it is told otherwise. All methods belong to the event loop's thread.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._passages: dict[asyncio.Task[None], _Passage] = {}
        self._cut = False
        self._held: Whose = nobody
        self._delay_s = 0.0

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._passages)

    def cut(self) -> None:
        """Reset every connection, and each new one at once."""
        self._cut = True
        for task, passage in self._passages.items():
            _reset(passage.client)
            task.cancel()

    def hold(self, whose: Whose = anybody) -> None:
        """Accept connections and bytes, and forward nothing: what a dead route looks like."""
        self._held = whose
        ports = whose()
        for passage in self._passages.values():
            if passage.port in ports:
                passage.flowing.clear()

    def delay(self, seconds: float) -> None:
        """Forward each byte that much later, in each direction."""
        self._delay_s = seconds

    def flow(self) -> None:
        """Forward again, first what was held."""
        self._cut = False
        self._held = nobody
        self._delay_s = 0.0
        for passage in self._passages.values():
            passage.flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            _reset(writer)
            return
        task = asyncio.current_task()
        assert task is not None
        passage = self._passages[task] = _Passage(writer)
        if passage.port not in self._held():
            passage.flowing.set()
        try:
            await self._serve(reader, passage)
        except (OSError, asyncio.CancelledError):
            # One of the two sides is gone, or the link was cut: so is the connection.
            return
        finally:
            writer.close()
            del self._passages[task]

    async def _serve(self, reader: asyncio.StreamReader, passage: _Passage) -> None:
        # A connection that begins while the link is held is accepted and gets no further.
        await passage.flowing.wait()
        there, back = await asyncio.open_connection(*self._target)
        ways = [
            asyncio.create_task(self._forward(reader, back, passage.flowing)),
            asyncio.create_task(self._forward(there, passage.client, passage.flowing)),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        """Read ahead of the writing, so that a delay moves bytes in time and does not thin them."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_HELD_CHUNKS)
        writing = asyncio.create_task(_write(under_way, writer, flowing))
        clock = asyncio.get_running_loop().time
        try:
            while data := await reader.read(_CHUNK):
                await under_way.put((clock() + self._delay_s, data))
            await under_way.put((clock() + self._delay_s, b""))
            await writing
        finally:
            writing.cancel()


async def _write(
    under_way: asyncio.Queue[tuple[float, bytes]],
    writer: asyncio.StreamWriter,
    flowing: asyncio.Event,
) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        due, data = await under_way.get()
        if due > clock():
            await asyncio.sleep(due - clock())
        await flowing.wait()
        if not data:
            return
        writer.write(data)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset in place of a polite end."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
