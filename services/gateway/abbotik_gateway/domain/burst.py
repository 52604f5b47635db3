"""What a room's followers are given at one moment, encoded once for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from abbotik_gateway.domain.feed import RELEASED, Delta, Event
from abbotik_gateway.domain.sse import DELTA, Variant, delta_frame, frames


class Batch:
    """Events of one room in order without a gap; at least one."""

    __slots__ = ("_chunks", "events", "first", "last", "room")

    def __init__(self, room: str, events: Sequence[Event]) -> None:
        self.room = room
        self.events = events
        self.first = events[0].seq
        self.last = events[-1].seq
        self._chunks: dict[str, bytes] = {}

    @property
    def released(self) -> bool:
        """Whether nothing can follow."""
        return self.events[-1].event_type == RELEASED

    def chunk(self, variant: Variant) -> bytes:
        """Return the frames of all events."""
        chunk = self._chunks.get(variant.key)
        if chunk is None:
            chunk = self._chunks[variant.key] = frames(variant, self.room, self.events)
        return chunk

    def behind(self, position: int) -> Batch | None:
        """Return what is behind the position; None where nothing is."""
        if self.first > position:
            return self
        newer = [event for event in self.events if event.seq > position]
        return Batch(self.room, newer) if newer else None


class Piece:
    """A delta."""

    __slots__ = ("_chunks", "delta")

    def __init__(self, delta: Delta) -> None:
        self.delta = delta
        self._chunks: dict[str, bytes] = {}

    def chunk(self, variant: Variant) -> bytes:
        """Return its frame; nothing where deltas are not shown."""
        chunk = self._chunks.get(variant.key)
        if chunk is None:
            shown = variant.shows(DELTA)
            chunk = self._chunks[variant.key] = delta_frame(variant, self.delta) if shown else b""
        return chunk


class Burst:
    """Batches and pieces in the order in which they came.

    ``first`` is the first event's seq and ``last`` the last one's, both 0 where it has none.
    """

    __slots__ = ("_chunks", "first", "last", "parts", "released")

    def __init__(self, parts: Sequence[Batch | Piece]) -> None:
        self.parts = parts
        self.first = self.last = 0
        self.released = False
        for part in parts:
            if isinstance(part, Batch):
                self.first = self.first or part.first
                self.last, self.released = part.last, part.released
        self._chunks: dict[str, bytes] = {}

    def chunk(self, variant: Variant) -> bytes:
        """Return all frames."""
        if len(self.parts) == 1:
            return self.parts[0].chunk(variant)
        chunk = self._chunks.get(variant.key)
        if chunk is None:
            chunk = b"".join([part.chunk(variant) for part in self.parts])
            self._chunks[variant.key] = chunk
        return chunk


# A burst goes out when it holds so many events and deltas, or bytes of them, before more come.
MAX_BURST = 64
MAX_BURST_BYTES = 48 * 1024


class Gathering:
    """What came since the last burst of a room."""

    def __init__(self, room: str) -> None:
        self._room = room
        self._parts: list[list[Event] | Delta] = []
        self._size = 0
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether nothing more should join."""
        return self._size >= MAX_BURST or self._bytes >= MAX_BURST_BYTES

    def add_events(self, events: Sequence[Event]) -> None:
        """Add events; those that came one after the other become one batch."""
        self._size += len(events)
        self._bytes += sum([len(event.data) for event in events])
        last = self._parts[-1] if self._parts else None
        if isinstance(last, list):
            last.extend(events)
        else:
            self._parts.append(list(events))

    def add_delta(self, delta: Delta) -> None:
        """Add a delta."""
        self._size += 1
        self._bytes += len(delta.data)
        self._parts.append(delta)

    def take(self) -> Burst:
        """Return everything as one burst, and begin anew."""
        parts, self._parts, self._size, self._bytes = self._parts, [], 0, 0
        return Burst(
            [Batch(self._room, part) if isinstance(part, list) else Piece(part) for part in parts]
        )
