"""One room in one stream: first what the log has, then what the feed says."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass

import structlog

from abbotik_gateway.domain.burst import Batch, Burst, Piece
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.handlers.following.feeds import BoundedReads, RoomFeeds
from abbotik_gateway.handlers.following.room_feed import RoomFeed
from abbotik_gateway.ports import UnavailableError
from abbotik_gateway.streams import Head

log = structlog.get_logger(__name__)

_AGAIN_S = 0.25


@dataclass(frozen=True, slots=True)
class Place:
    """Where a leg begins: behind ``after``. ``stay`` says whether it follows beyond ``head``."""

    tenant: str
    room: str
    after: int
    head: Head
    stay: bool = True

    @property
    def complete(self) -> bool:
        """Whether the reader has all that there will ever be."""
        return self.head.released and self.after == self.head.seq


class Leg(ABC):
    """Reads pages from the log until it has what the feed has, then joins the feed.

    Whoever owns it calls `open`, then `advance` while it is `behind`, and at last `close`.
    ``position`` is the last event that was given on; ``ended`` says that no more will be, and
    ``released`` that the room has no more.
    """

    def __init__(self, place: Place, log_: BoundedReads, feeds: RoomFeeds) -> None:
        self.room = place.room
        self.position = place.after
        self.behind = True
        self.ended = False
        self.released = place.head.released
        self._place = place
        self._log = log_
        self._feeds = feeds
        self._feed: RoomFeed | None = None

    async def open(self) -> None:
        """Have the room followed; a Problem where the bus was never reached."""
        place = self._place
        # Nothing follows the release, and nobody waits for more when the reader does not stay.
        if place.stay and not place.head.released:
            try:
                self._feed = await self._feeds.acquire(place.tenant, place.room, place.head)
            except OSError as error:
                raise Problem("SERVICE_UNAVAILABLE", "Rooms cannot be followed yet.") from error
        self._catch_up()

    def close(self) -> None:
        """Give the feed back."""
        feed, self._feed = self._feed, None
        self.behind = False
        if feed is not None:
            feed.leave(self)
            self._feeds.release(feed)

    async def advance(self) -> None:
        """Read one page and give it on; pause where the log cannot be read or is not there yet."""
        try:
            page = await self._log.page_for(
                lambda: self.gone, self._place.tenant, self.room, self.position
            )
        except UnavailableError:
            log.info("leg.waits", room=self.room, position=self.position)
            await asyncio.sleep(_AGAIN_S)
            return
        if page is None:
            return
        if page.events:
            if self._feed is not None:
                self._feed.offer(page.events)
            self._step(Batch(self.room, page.events), replayed=True)
        self._catch_up()
        if self.behind and not page.events:
            await asyncio.sleep(_AGAIN_S)

    @property
    @abstractmethod
    def gone(self) -> bool:
        """Whether nobody reads any more."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether it still holds what it was given."""

    def on_burst(self, burst: Burst) -> None:
        """Give live events on, without those that a page showed already, and deltas."""
        for part in burst.parts:
            if isinstance(part, Piece):
                self._say(part)
            elif newer := part.behind(self.position):
                self._step(newer, replayed=False)

    @abstractmethod
    def _say(self, piece: Piece) -> None:
        """Give a delta on."""

    @abstractmethod
    def _give(self, batch: Batch, *, replayed: bool) -> bool:
        """Give events on; says no when they will not be delivered."""

    @abstractmethod
    def _end(self) -> None:
        """Note that the room has nothing more."""

    def _step(self, batch: Batch, *, replayed: bool) -> None:
        if self._give(batch, replayed=replayed):
            self.position = batch.last
            if batch.released:
                self._finish(released=True)

    def _finish(self, *, released: bool) -> None:
        self.behind = False
        self.ended = True
        self.released = self.released or released
        self._end()

    def _catch_up(self) -> None:
        if not self.behind:
            return
        if self._feed is not None:
            if self.position >= self._feed.tail.seq:
                self.behind = False
                self._feed.join(self)
        elif self.position >= self._place.head.seq:
            self._finish(released=False)
