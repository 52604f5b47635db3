"""Legs that care for one message's turn only."""

from __future__ import annotations

import asyncio

from abbotik_gateway.domain.burst import Batch, Piece
from abbotik_gateway.domain.feed import Event
from abbotik_gateway.domain.sse import Variant, frames
from abbotik_gateway.domain.turn_selection import TurnSelection
from abbotik_gateway.handlers.following.feeds import BoundedReads, RoomFeeds
from abbotik_gateway.handlers.following.leg import Leg, Place
from abbotik_gateway.handlers.following.outbox import Chunk, Outbox


class TurnLeg(Leg):
    """Gives the turn's frames to an outbox, and finishes that with the turn."""

    def __init__(
        self,
        place: Place,
        log: BoundedReads,
        feeds: RoomFeeds,
        outbox: Outbox,
        selection: TurnSelection,
    ) -> None:
        super().__init__(place, log, feeds)
        self._outbox = outbox
        self._selection = selection
        self._variant = Variant()

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return self._outbox.gone

    @property
    def full(self) -> bool:
        """Whether the outbox still holds something."""
        return not self._outbox.empty

    def _say(self, piece: Piece) -> None:
        if piece.delta.turn_id == self._selection.turn_id:
            self._outbox.put_delta(piece.chunk(self._variant))

    def _give(self, batch: Batch, *, replayed: bool) -> bool:
        mine = self._selection.take(batch.events)
        if mine and not self._put(mine, replayed=replayed):
            return False
        if self._selection.end is not None:
            self._end()
        return True

    def _put(self, events: list[Event], *, replayed: bool) -> bool:
        data = frames(self._variant, self.room, events)
        chunk = Chunk(data, len(events), self, self.position)
        if replayed:
            self._outbox.put_page(chunk)
            return True
        return self._outbox.put(chunk)

    def _end(self) -> None:
        self.behind = False
        self._outbox.finish(b"")


class TurnWatch(Leg):
    """Waits for the turn's end; ``over`` is done then, or when it can never come."""

    def __init__(
        self, place: Place, log: BoundedReads, feeds: RoomFeeds, selection: TurnSelection
    ) -> None:
        super().__init__(place, log, feeds)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._selection = selection

    def give_up(self) -> None:
        """Wait no longer."""
        self._end()

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more."""
        return self.over.done()

    @property
    def full(self) -> bool:
        """It holds nothing."""
        return False

    def _say(self, piece: Piece) -> None:
        """Deltas say nothing about the end."""

    def _give(self, batch: Batch, *, replayed: bool) -> bool:  # noqa: ARG002  it queues nothing
        self._selection.take(batch.events)
        if self._selection.end is not None:
            self._end()
        return True

    def _end(self) -> None:
        self.behind = False
        if not self.over.done():
            self.over.set_result(None)
