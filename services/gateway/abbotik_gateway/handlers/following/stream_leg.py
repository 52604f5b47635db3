"""A leg whose events a client reads."""

from __future__ import annotations

from typing import Protocol

from abbotik_gateway.domain.burst import Batch, Burst, Piece
from abbotik_gateway.domain.sse import Variant
from abbotik_gateway.handlers.following.feeds import BoundedReads, RoomFeeds
from abbotik_gateway.handlers.following.leg import Leg, Place
from abbotik_gateway.handlers.following.outbox import Chunk, Outbox


class Stream(Protocol):
    """What a leg knows of its stream."""

    variant: Variant
    outbox: Outbox

    def send_now(self, data: bytes) -> bool:
        """Send at once if nothing stands in front; says no, and does nothing, if something does."""
        ...

    def leg_ended(self, leg: Leg) -> None:
        """Note that a room has nothing more."""
        ...


class StreamLeg(Leg):
    """Gives frames to a stream: past its outbox where that is empty."""

    def __init__(self, place: Place, log: BoundedReads, feeds: RoomFeeds, stream: Stream) -> None:
        super().__init__(place, log, feeds)
        self._stream = stream
        self._variant = stream.variant

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return self._stream.outbox.gone

    @property
    def full(self) -> bool:
        """Whether the outbox still holds something."""
        return not self._stream.outbox.empty

    def on_burst(self, burst: Burst) -> None:
        """Send the whole burst as it is to a reader that keeps up."""
        if burst.first and burst.first != self.position + 1:
            super().on_burst(burst)
        elif self._stream.send_now(burst.chunk(self._variant)):
            if burst.last:
                self.position = burst.last
                if burst.released:
                    self._finish(released=True)
        else:
            super().on_burst(burst)

    def _say(self, piece: Piece) -> None:
        if data := piece.chunk(self._variant):
            self._stream.outbox.put_delta(data)

    def _give(self, batch: Batch, *, replayed: bool) -> bool:
        chunk = Chunk(batch.chunk(self._variant), len(batch.events), self, self.position)
        if replayed:
            self._stream.outbox.put_page(chunk)
            return True
        return self._stream.outbox.put(chunk)

    def _end(self) -> None:
        self._stream.leg_ended(self)
