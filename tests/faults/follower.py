"""Followers that write down what they see and reconnect with their cursor, as clients should."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.faults.history import Call, Record, Sightings

GIVE_UP_S = 6.0
AGAIN_S = 0.1
NO_CONTENT = 204
_DATA = b"\ndata: "


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer, and the body of one that is no stream."""

    status: int
    error: str = ""


class Follower:
    """Follows one room over gateways in turn until nothing can come any more, or it is cancelled.

    ``on_event`` is called with each durable event, ``calls`` gets each try to connect.
    """

    def __init__(
        self,
        sightings: Sightings,
        gateways: Iterator[tuple[str, str]],
        token: str,
        calls: list[Call],
        on_event: Callable[[Record], None],
    ) -> None:
        self._sightings = sightings
        self._gateways = gateways
        self._token = token
        self._calls = calls
        self._on_event = on_event

    async def follow(self) -> None:
        """Follow and reconnect until a gateway says that nothing can come any more."""
        status = await self.read()
        while status != NO_CONTENT:
            await asyncio.sleep(AGAIN_S)
            status = await self.read()

    async def read(self, query: str = "") -> int:
        """Read one connection's events to its end; return the status of the answer, 0 for none."""
        gateway, url = next(self._gateways)
        began, clock = time.time(), time.monotonic()
        answer, error = Answer(0), ""
        async with AsyncExitStack() as connection:
            try:
                async with asyncio.timeout(GIVE_UP_S):
                    where = urlsplit(url)
                    reader, writer = await asyncio.open_connection(where.hostname, where.port)
                    connection.callback(writer.close)
                    writer.write(self._request(query))
                    answer = await _answer(reader)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as fault:
                error = type(fault).__name__
            self._calls.append(
                Call(
                    what="follow",
                    room=self._sightings.room,
                    gateway=gateway,
                    began=began,
                    took_s=time.monotonic() - clock,
                    status=answer.status or None,
                    error=error or answer.error,
                )
            )
            if answer.status == 200:
                self._sightings.cursors.append(self._sightings.cursor)
                await self._watch(reader)
        return answer.status

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        async for frame in _frames(reader):
            if b"event: stream:lagged" in frame:
                self._sightings.lagged += 1
            if b"\nid: " in frame or frame.startswith(b"id: "):
                event = json.loads(frame[frame.index(_DATA) + len(_DATA) :])
                self._sightings.events.append(event)
                self._on_event(event)

    def _request(self, query: str) -> bytes:
        return (
            f"GET /llm/room/{self._sightings.room}/events{query} HTTP/1.1\r\n"
            "Host: 127.0.0.1\r\n"
            # So that the end of the stream is the end of the connection.
            "Connection: close\r\n"
            f"Authorization: Bearer {self._token}\r\n"
            f"Last-Event-ID: {self._sightings.cursor}\r\n\r\n"
        ).encode()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head[9:12])
    if status in (200, NO_CONTENT):
        return Answer(status)
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    return Answer(status, json.loads(await reader.readexactly(length)).get("error_code", ""))


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield whole frames until the connection ends.

    A server writes whole frames, so the marks of HTTP's chunks stand before a frame's first line.
    """
    while True:
        try:
            yield await reader.readuntil(b"\n\n")
        except (OSError, asyncio.IncompleteReadError):
            return
