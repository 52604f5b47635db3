"""The feeds of all rooms that somebody follows in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from abbotik_gateway.handlers.following.room_feed import RoomFeed
from abbotik_gateway.streams import Head, Page, RoomEvents, Signals

log = structlog.get_logger(__name__)

# Pages that are read at the same time: each may hold some hundred kilobytes.
_MAX_READS = 8


class BoundedReads:
    """A log of which only so many pages are read at a time."""

    def __init__(self, log_: RoomEvents, limit: int = _MAX_READS) -> None:
        self._log = log_
        self._gate = asyncio.Semaphore(limit)

    async def head(self, tenant: str, room: str) -> Head | None:
        """Return where the room's log stands."""
        return await self._log.head(tenant, room)

    async def page(self, tenant: str, room: str, after: int) -> Page:
        """Return the events that follow position ``after``."""
        async with self._gate:
            return await self._log.page(tenant, room, after)

    async def page_for(
        self, gone: Callable[[], bool], tenant: str, room: str, after: int
    ) -> Page | None:
        """Return the same for a reader; None where it has ``gone`` before its turn came."""
        async with self._gate:
            return None if gone() else await self._log.page(tenant, room, after)


class RoomFeeds:
    """One feed per followed room: made for its first user, stopped after its last."""

    def __init__(self, log_: RoomEvents, signals: Signals) -> None:
        self._log = log_
        self._signals = signals
        self._feeds: dict[tuple[str, str], RoomFeed] = {}
        self._starts: dict[RoomFeed, asyncio.Task[None]] = {}
        self._stops: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._feeds)

    def of(self, tenant: str, room: str) -> RoomFeed | None:
        """Return the room's feed if it stands already."""
        feed = self._feeds.get((tenant, room))
        return None if feed is None or not self._starts[feed].done() else feed

    async def acquire(self, tenant: str, room: str, head: Head) -> RoomFeed:
        """Return the room's feed; ``head`` is where a new one begins. `release` gives it back.

        Raises OSError where the bus was never reached.
        """
        feed = self._feeds.get((tenant, room))
        if feed is None:
            feed = self._feeds[tenant, room] = RoomFeed(tenant, room, self._log, self._signals)
            self._starts[feed] = asyncio.create_task(feed.start(head))
        feed.users += 1
        try:
            # One start for all who wait for it: it goes on when one of them gives up.
            await asyncio.shield(self._starts[feed])
        except BaseException:
            self.release(feed)
            raise
        return feed

    def release(self, feed: RoomFeed) -> None:
        """Give a feed back; without users it is stopped in the background."""
        feed.users -= 1
        if feed.users == 0:
            del self._feeds[feed.tenant, feed.room]
            stop = asyncio.create_task(self._stop(feed, self._starts.pop(feed)))
            self._stops.add(stop)
            stop.add_done_callback(self._stops.discard)

    def look(self, now: float) -> None:
        """Have the rooms read again that were quiet for long; ``now`` is the loop's time."""
        for feed in self._feeds.values():
            feed.look(now)

    async def reconnected(self) -> None:
        """Read every room again: whatever was published meanwhile is lost."""
        for feed in list(self._feeds.values()):
            feed.read_soon()

    async def settle(self) -> None:
        """Return when every feed without users has stopped."""
        await asyncio.gather(*self._stops)

    async def _stop(self, feed: RoomFeed, start: asyncio.Task[None]) -> None:
        await asyncio.wait([start])
        if not start.cancelled() and (error := start.exception()) is not None:
            log.info("feed.unstarted", room=feed.room, error=type(error).__name__)
        await feed.stop()
