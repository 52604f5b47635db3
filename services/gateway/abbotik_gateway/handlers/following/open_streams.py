"""The streams that are open in this process: kept alive by one timer, closed together."""

from __future__ import annotations

import asyncio

import structlog

from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.handlers.following.event_stream import EventStream
from abbotik_gateway.handlers.ticketing import AFTER_DISCONNECT_MS, KEEP_EVERY_MS
from abbotik_gateway.ports import UnavailableError
from abbotik_gateway.streams import Meters, Tickets
from abbotik_kernel.clock import Clock

log = structlog.get_logger(__name__)

# How long `close` waits for readers to take their last frames.
CLOSE_S = 5.0


class OpenStreams:
    """Registers streams; `tick` is to be called every second."""

    def __init__(self, meters: Meters, tickets: Tickets, clock: Clock) -> None:
        self._meters = meters
        self._tickets = tickets
        self._clock = clock
        self._streams: set[EventStream] = set()
        self._closing = False
        self._left: set[str] = set()
        self._keep_at = 0
        self._emptied = asyncio.Event()

    def __len__(self) -> int:
        return len(self._streams)

    def opened(self, stream: EventStream) -> None:
        """Note a stream that begins; a Problem where the process is going."""
        if self._closing:
            raise Problem("SERVICE_UNAVAILABLE", "This gateway is shutting down.")
        self._streams.add(stream)
        self._meters.followers(1)

    def closed(self, stream: EventStream) -> None:
        """Note a stream that ended."""
        self._streams.discard(stream)
        self._meters.followers(-1)
        if stream.outbox.lagged:
            self._meters.lagged()
        if stream.ticket is not None:
            self._left.add(stream.ticket)
        if not self._streams:
            self._emptied.set()

    async def tick(self) -> None:
        """Do what is due now for every stream and its ticket."""
        now, now_ms = asyncio.get_running_loop().time(), self._clock.now_ms()
        for stream in list(self._streams):
            stream.tick(now, now_ms)
        await self._keep_tickets(now_ms)

    async def close(self, reason: str) -> None:
        """End every stream with `stream:closing{reason}`; drop those that do not take it."""
        self._closing = True
        self._emptied.clear()
        for stream in list(self._streams):
            stream.end("stream:closing", reason)
        if self._streams:
            await self._wait_until_empty()
        await self._keep_tickets(self._clock.now_ms())

    async def _wait_until_empty(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._emptied.wait()
        except TimeoutError:
            log.info("streams.cut", streams=len(self._streams))
            for stream in list(self._streams):
                stream.cut()

    async def _keep_tickets(self, now: int) -> None:
        left, self._left = self._left, set()
        held = {stream.ticket for stream in self._streams if stream.ticket is not None}
        try:
            await self._tickets.keep(left - held, now + AFTER_DISCONNECT_MS)
            if now >= self._keep_at:
                await self._tickets.keep(held, now + KEEP_EVERY_MS + AFTER_DISCONNECT_MS)
                self._keep_at = now + KEEP_EVERY_MS
        except UnavailableError:
            # They stay good for what the last writing gave them, and are written again.
            self._left |= left
