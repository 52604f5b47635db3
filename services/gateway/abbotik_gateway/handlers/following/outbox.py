"""What one follower was not sent yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

# What one reader costs at most is 256 KiB: the queue, one send, and what the transport takes before
# it makes the sender wait (64 KiB in uvicorn).
MAX_BYTES = 128 * 1024
MAX_EVENTS = 256
SEND_BYTES = 64 * 1024


class Chunk(NamedTuple):
    """Frames of one leg; ``before`` is its position in front of them. Deltas count as events."""

    data: bytes
    events: int
    leg: object = None
    before: int = 0
    delta: bool = False


class Outbox:
    """The bounded queue between feeds, which put, and one response, which takes.

    What queued up is taken together, SEND_BYTES at a time. When the queue is full, deltas are
    thrown away; when that is not enough the reader lags: ``on_lag`` is asked for the last frame,
    with the position up to which each leg's events were taken where that is not all, and
    everything else is dropped. A single chunk may be larger than the bounds, if it is alone.
    """

    __slots__ = (
        "_bytes",
        "_chunks",
        "_deltas",
        "_events",
        "_on_lag",
        "_waiter",
        "finished",
        "gone",
        "lagged",
    )

    def __init__(self, on_lag: Callable[[dict[object, int]], bytes]) -> None:
        self._chunks: deque[Chunk] = deque()
        self._bytes = 0
        self._events = 0
        self._deltas = 0
        self._on_lag = on_lag
        self._waiter: asyncio.Future[None] | None = None
        self.finished = False
        self.lagged = False
        self.gone = False

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._chunks

    def put(self, chunk: Chunk) -> bool:
        """Queue durable events; says no when the stream is over or they did not fit."""
        if self.finished:
            return False
        if self._chunks and self._full(chunk):
            self._drop_deltas()
            if self._chunks and self._full(chunk):
                self._lag()
                return False
        self._add(chunk)
        return True

    def put_page(self, chunk: Chunk) -> None:
        """Queue what the taker itself read, which goes out before it reads more."""
        if not self.finished:
            self._add(chunk)

    def put_delta(self, data: bytes) -> None:
        """Queue a delta if there is room."""
        chunk = Chunk(data, 1, delta=True)
        if not self.finished and not self._full(chunk):
            self._deltas += 1
            self._add(chunk)

    def finish(self, last: bytes) -> None:
        """Queue the last frame: when it is taken, the stream ends."""
        if not self.finished:
            self._add(Chunk(last, 0))
            self.finished = True

    def abandon(self) -> None:
        """Note that the reader has gone, and drop ``on_lag``, which refers to the stream."""
        self.gone = self.finished = True
        self._on_lag = _nobody_reads
        self._clear()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self) -> None:
        """Return when something is there, or when the stream ended."""
        if self._chunks or self.finished:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def take(self) -> bytes:
        """Return what queued up, as much as one send may have; a larger chunk goes alone."""
        taken: list[bytes] = []
        size = 0
        while self._chunks and (not taken or size + len(self._chunks[0].data) <= SEND_BYTES):
            chunk = self._chunks.popleft()
            size += len(chunk.data)
            self._events -= chunk.events
            self._deltas -= chunk.delta
            taken.append(chunk.data)
        self._bytes -= size
        # Of a single chunk, the join is that chunk: no copy for each follower.
        return b"".join(taken)

    def _full(self, chunk: Chunk) -> bool:
        size, events = self._bytes + len(chunk.data), self._events + chunk.events
        return size > MAX_BYTES or events > MAX_EVENTS

    def _lag(self) -> None:
        taken: dict[object, int] = {}
        for chunk in self._chunks:
            taken.setdefault(chunk.leg, chunk.before)
        self.lagged = True
        self._clear()
        self.finish(self._on_lag(taken))

    def _add(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._bytes += len(chunk.data)
        self._events += chunk.events
        if self._waiter is not None:
            self._wake()

    def _drop_deltas(self) -> None:
        if self._deltas:
            kept = [chunk for chunk in self._chunks if not chunk.delta]
            self._clear()
            for chunk in kept:
                self._add(chunk)

    def _clear(self) -> None:
        self._chunks.clear()
        self._bytes = self._events = self._deltas = 0


def _nobody_reads(_taken: dict[object, int]) -> bytes:
    return b""
