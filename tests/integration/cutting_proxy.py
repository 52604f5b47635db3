"""A proxy before MongoDB that cuts the connection once a write was applied and before it is told.

It reads whole messages of the wire protocol, so that it knows an insert when it sees one.
"""

from __future__ import annotations

import asyncio
import struct
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_HEADER = struct.Struct("<iiii")


class CuttingProxy:
    """Listens on a free port of this machine; ``url`` leads to the server through it.

    ``cuts`` is how many inserts from now on are carried out and not answered, ``drops`` how many
    are not even carried out, ``delays`` how many come to the server only with `deliver`;
    ``broken`` cuts every message; while ``flowing`` is not set all wait. ``inserts`` counts those
    that came, and ``arrived`` is set by the first.
    """

    def __init__(self, mongo_url: str) -> None:
        where = urlsplit(mongo_url.split(",", maxsplit=1)[0])
        self._host, self._port = where.hostname or "127.0.0.1", where.port or 27017
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.cuts = 0
        self.drops = 0
        self.delays = 0
        self._delayed: list[bytes] = []
        self.broken = False
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.inserts = 0
        self.arrived = asyncio.Event()

    @property
    def url(self) -> str:
        """Return the URL of the server through this proxy, and through nothing else."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"mongodb://127.0.0.1:{port}/?directConnection=true"

    async def deliver(self) -> None:
        """Bring the delayed inserts to the server; its answers interest nobody any more."""
        for message in self._delayed:
            there, back = await asyncio.open_connection(self._host, self._port)
            back.write(message)
            await _message(there)
            back.close()
        self._delayed.clear()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        for writer in self._clients.values():
            writer.close()
        await asyncio.gather(*self._clients)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients[task] = writer
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            # One of the two sides is gone, and so is the connection.
            return
        finally:
            writer.close()
            del self._clients[task]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        answers = asyncio.create_task(_pipe(there, writer))
        try:
            while True:
                message = await _message(reader)
                await self.flowing.wait()
                if self.broken:
                    return
                if b"\x02insert\x00" not in message[:64]:
                    back.write(message)
                    continue
                self.inserts += 1
                self.arrived.set()
                if self.delays:
                    self.delays -= 1
                    self._delayed.append(message)
                    return
                if self.drops:
                    self.drops -= 1
                    return
                if not self.cuts:
                    back.write(message)
                    continue
                self.cuts -= 1
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)
                back.write(message)
                await _message(there)
                return
        finally:
            answers.cancel()
            back.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(_HEADER.size)
    return head + await reader.readexactly(_HEADER.unpack(head)[0] - _HEADER.size)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
