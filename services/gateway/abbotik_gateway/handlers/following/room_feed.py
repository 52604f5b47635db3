"""One followed room in this process: its subscriptions, its tail, and who follows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from abbotik_contracts import subjects
from abbotik_gateway.domain.burst import Burst, Gathering
from abbotik_gateway.domain.feed import (
    Event,
    Tail,
    UnreadableSignalError,
    read_delta,
    read_events,
)
from abbotik_gateway.ports import UnavailableError
from abbotik_gateway.streams import (
    Head,
    Page,
    RoomEvents,
    Signals,
    Subscribed,
)
from abbotik_kernel.retry import Backoff

log = structlog.get_logger(__name__)

# Read again after this: what was committed before the subscription stood may be published late.
AFTER_START_S = 0.25
# A room that says nothing is looked at this often: a lost last event is found only so.
QUIET_S = 3.0

_AGAIN = Backoff(first=0.05, factor=2.0, ceiling=2.0)
# How long a long catch-up waits for followers to take what they have before it gives them more.
_DRAIN_S = 0.5
_DRAIN_STEP_S = 0.01


class Listener(Protocol):
    """One that follows the feed live. Nothing here may wait."""

    @property
    def full(self) -> bool:
        """Whether it still holds what it was given."""
        ...

    def on_burst(self, burst: Burst) -> None:
        """Take the next events of the room, and pieces of text of a running turn."""
        ...


class RoomFeed:
    """Merges live events and the log into one order, for all followers of the room.

    ``tail`` holds once `start` was called; ``users`` is counted by whoever shares feeds out.
    """

    def __init__(self, tenant: str, room: str, log_: RoomEvents, signals: Signals) -> None:
        self.tenant = tenant
        self.room = room
        self.users = 0
        self.tail = Tail(0)
        self.look_at = 0.0
        self._log = log_
        self._signals = signals
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[Listener, None] = {}
        self._gathering = Gathering(room)
        self._flush: asyncio.Handle | None = None
        self._subscribed: list[Subscribed] = []
        self._open = False
        self._wanted = False
        self._reader: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, head: Head) -> None:
        """Subscribe, then have read, in the background, what ``head`` did not show yet.

        Raises OSError where the bus was never reached.
        """
        self.tail = Tail(head.seq, head.epoch, head.turn_id)
        evt, live = subjects.room_events, subjects.room_live
        wanted = (
            (evt(self.tenant, self.room), self._on_events),
            (live(self.tenant, self.room), self._on_delta),
        )
        for subject, on_data in wanted:
            self._subscribed.append(await self._signals.subscribe(subject, on_data))
        try:
            await self._signals.flush()
        except OSError:
            # The bus is away: its reconnect brings the subscriptions back and has us read again.
            log.info("feed.unflushed", tenant=self.tenant, room=self.room)
        self._open = True
        self.look_at = self._loop.time() + QUIET_S
        self.read_soon()
        self._timer = self._loop.call_later(AFTER_START_S, self.read_soon)

    async def stop(self) -> None:
        """Unsubscribe; nothing is delivered afterwards."""
        self._open = False
        for handle in (self._timer, self._flush):
            if handle is not None:
                handle.cancel()
        if self._reader is not None:
            self._reader.cancel()
        subscribed, self._subscribed = self._subscribed, []
        for subscription in subscribed:
            await subscription.cancel()

    def head(self) -> Head:
        """Return where the feed stands; it has not seen the release yet."""
        return Head(self.tail.seq, self.tail.epoch, released=False, turn_id=self.tail.turn_id)

    def join(self, listener: Listener) -> None:
        """Deliver to the listener from now on; it has everything up to the tail."""
        self._listeners[listener] = None

    def leave(self, listener: Listener) -> None:
        """Deliver nothing more to the listener, if it follows."""
        self._listeners.pop(listener, None)

    def offer(self, events: Sequence[Event]) -> None:
        """Take events from the log, also those that a follower read for itself."""
        due = self.tail.offer(events)
        if due:
            self.look_at = self._loop.time() + QUIET_S
            self._gathering.add_events(due)
            self._gathered()

    def look(self, now: float) -> None:
        """Read again if the room was quiet for long; ``now`` is the loop's time."""
        if now >= self.look_at and not self.tail.released:
            self.look_at = now + QUIET_S
            self.read_soon()

    def read_soon(self) -> None:
        """Read the log from the tail on, in the background, until there is no hole."""
        self._wanted = self._open
        if self._reader is None and self._open:
            self._reader = asyncio.create_task(self._read())

    def _on_events(self, body: bytes) -> None:
        if not self._open:
            return
        try:
            events = read_events(self.room, body)
        except UnreadableSignalError as error:
            log.warning("feed.unreadable", tenant=self.tenant, room=self.room, error=str(error))
            self.read_soon()
            return
        self.offer(events)
        if self.tail.hole:
            self.read_soon()

    def _on_delta(self, body: bytes) -> None:
        if not self._open or not self._listeners:
            return
        try:
            delta = read_delta(body)
        except UnreadableSignalError as error:
            log.warning("feed.unreadable", tenant=self.tenant, room=self.room, error=str(error))
            return
        if self.tail.takes(delta):
            self._gathering.add_delta(delta)
            self._gathered()

    def _gathered(self) -> None:
        # Messages that arrived together are handled one after the other before the loop goes on:
        # what they bring goes out as one piece, joined once for all followers.
        if self._gathering.full:
            self._give()
        elif self._flush is None:
            self._flush = self._loop.call_soon(self._give)

    def _give(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        burst = self._gathering.take()
        for listener in self._listeners:
            listener.on_burst(burst)

    async def _read(self) -> None:
        attempt = 0
        try:
            while self._wanted and self._open:
                self._wanted = False
                before = self.tail.seq
                try:
                    while (await self._read_page()).more:
                        await self._drained()
                except UnavailableError:
                    self._wanted = True
                self._wanted = self._wanted or self.tail.hole
                if self._wanted and self.tail.seq == before:
                    await asyncio.sleep(_AGAIN.delay(attempt))
                    attempt += 1
                else:
                    attempt = 0
        finally:
            self._reader = None

    async def _read_page(self) -> Page:
        page = await self._log.page(self.tenant, self.room, self.tail.seq)
        self.offer(page.events)
        return page

    async def _drained(self) -> None:
        until = self._loop.time() + _DRAIN_S
        while any(listener.full for listener in self._listeners):
            if self._loop.time() >= until:
                return
            await asyncio.sleep(_DRAIN_STEP_S)
