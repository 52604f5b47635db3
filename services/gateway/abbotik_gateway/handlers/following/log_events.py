"""The durable events of rooms, read from their logs and encoded as the wire has them."""

from __future__ import annotations

from collections.abc import Sequence

from abbotik_contracts.room_log import LogEntry
from abbotik_contracts.room_views import wire_events
from abbotik_gateway.domain.feed import Event, event_of
from abbotik_gateway.handlers.seen import SeenRevs
from abbotik_gateway.ports import RoomLog
from abbotik_gateway.streams import Head, Page

# Entries of the first and of a further read of one page: most pages are the short end of a log,
# and what an entry weighs is only known afterwards.
_FIRST_ENTRIES = 32
_MORE_ENTRIES = 224
# A page ends with the event that reaches this many bytes.
PAGE_BYTES = 48 * 1024


class LogEvents:
    """Implements `RoomEvents` over the log."""

    def __init__(self, log: RoomLog, seen: SeenRevs) -> None:
        self._log = log
        self._seen = seen

    async def head(self, tenant: str, room: str) -> Head | None:
        """Return where the room's log stands, None where the tenant has no such room."""
        entry = await self._seen.newest(tenant, room, self._log.of(tenant, room).last)
        if entry is None:
            return None
        state = entry["state"]
        turn_id = state["turn"]["id"] if state["turn"] is not None else None
        return Head(
            entry["last_event_seq"],
            state["epoch"],
            state["status"] == "released",
            turn_id if isinstance(turn_id, str) else None,
        )

    async def page(self, tenant: str, room: str, after: int) -> Page:
        """Return the events that follow position ``after``."""
        scope = self._log.of(tenant, room)
        entries = await scope.events_after(after, _FIRST_ENTRIES)
        more = len(entries) == _FIRST_ENTRIES
        events, size = encode(entries, after)
        if more and size < PAGE_BYTES // 2:
            reached = events[-1].seq if events else after
            further = await scope.events_after(reached, _MORE_ENTRIES)
            more = len(further) == _MORE_ENTRIES
            events += encode(further, reached)[0]
        return _cut(events, more=more)


def encode(entries: Sequence[LogEntry], after: int) -> tuple[list[Event], int]:
    """Return the entries' events above position ``after``, and how many bytes they make."""
    events: list[Event] = []
    size = 0
    for entry in entries:
        for record in wire_events(entry):
            event = event_of(record)
            if event.seq > after:
                events.append(event)
                size += len(event.data)
    return events, size


def _cut(events: list[Event], *, more: bool) -> Page:
    size = 0
    for count, event in enumerate(events, start=1):
        size += len(event.data)
        if size >= PAGE_BYTES and count < len(events):
            return Page(events[:count], more=True)
    # Entries without events lead nowhere: whoever wants more asks again later.
    return Page(events, more and bool(events))
