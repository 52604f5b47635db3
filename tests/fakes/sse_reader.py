"""A client of one response, without a server between: it reads, stalls and leaves at will."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from abbotik_gateway.streams import ABORT, WRITE
from tests.eventually import eventually


@dataclass(frozen=True)
class Frame:
    """One frame as a browser reads it; ``data`` is None for a comment."""

    id: str | None
    event: str | None
    data: Any
    comment: bool = False


def parse(text: str) -> list[Frame]:
    """Read whole frames."""
    frames: list[Frame] = []
    for block in text.split("\n\n")[:-1]:
        fields: dict[str, str] = {}
        comment = False
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            comment = comment or name == ""
            if name:
                fields[name] = value.removeprefix(" ")
        data = orjson.loads(fields["data"]) if "data" in fields else None
        frames.append(Frame(fields.get("id"), fields.get("event"), data, comment))
    return frames


class SseReader:
    """Runs the response as a server would: ours, or one without ``extensions``.

    ``body`` is what came, ``over`` that it ended, ``waited_for`` that a send waits for the reader;
    with ``breaks`` a write raises.
    """

    def __init__(self, response: Response, *, extensions: bool = True) -> None:
        self.body = b""
        self.status = 0
        self.sends = 0
        self.over = False
        self.aborted = False
        self.waited_for = False
        self.breaks = False
        self._gone = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        scope: dict[str, Any] = {"type": "http", "method": "GET"}
        if extensions:
            scope["extensions"] = {ABORT: self._abort, WRITE: self._write}
        self.task = asyncio.ensure_future(response(scope, self._receive, self._send))

    @property
    def frames(self) -> list[Frame]:
        """All frames so far."""
        return parse(self.body.decode())

    @property
    def events(self) -> list[Any]:
        """The durable events so far."""
        return [frame.data for frame in self.frames if frame.data and "seq" in frame.data]

    @property
    def seqs(self) -> list[int]:
        """Their positions."""
        return [event["seq"] for event in self.events]

    @property
    def names(self) -> list[str | None]:
        """The event names of all frames that carry data."""
        return [frame.event for frame in self.frames if frame.data is not None]

    async def until(self, seq: int, within_s: float = 5.0) -> None:
        """Return once event ``seq`` has come."""
        await eventually(lambda: self.seqs[-1:] == [seq], within_s)

    async def end(self, within_s: float = 5.0) -> None:
        """Return once the response is over; raise what it raised."""
        await asyncio.wait_for(asyncio.shield(self.task), within_s)

    async def leave(self) -> None:
        """Close the connection."""
        self._gone.set()
        self._reading.set()
        await self.end()

    def stall(self) -> None:
        """Stop reading."""
        self._reading.clear()

    def read_on(self) -> None:
        """Read again."""
        self._reading.set()

    def _abort(self) -> None:
        self.aborted = True
        self._gone.set()
        self._reading.set()

    def _write(self, data: bytes) -> bool:
        if self.breaks:
            raise RuntimeError("the connection breaks")
        if self._gone.is_set() or not self._reading.is_set():
            return False
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        self.sends += 1
        self.body += data

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        # As uvicorn: wait while the socket is full, say nothing once the client has gone.
        self.waited_for = not self._reading.is_set()
        await self._reading.wait()
        self.waited_for = False
        if self._gone.is_set():
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self._take(message.get("body", b""))
        self.over = not message.get("more_body", False)
