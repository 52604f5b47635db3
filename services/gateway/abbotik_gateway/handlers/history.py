"""A room's history: the room, its messages and its events, in one answer of at most 4 MiB."""

from __future__ import annotations

from dataclasses import dataclass

from abbotik_contracts.room_log import LogEntry, Record
from abbotik_contracts.room_views import room_record, wire_events
from abbotik_gateway.domain.history import (
    MAX_BYTES,
    ROOM_BYTES,
    Sized,
    Window,
    fitting,
    share,
    sized,
    window,
)
from abbotik_gateway.handlers.reading import CHUNK, Reading
from abbotik_gateway.ports import RoomLog, RoomScope

BUDGET = MAX_BYTES - ROOM_BYTES


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which part of a room is asked for; positions are seqs, None where not given."""

    limit: int
    before_message: int | None = None
    after_message: int | None = None
    before_event: int | None = None
    after_event: int | None = None


class History:
    """Reads histories. Raises Problem ROOM_NOT_FOUND, and UnavailableError."""

    def __init__(self, log: RoomLog, reading: Reading) -> None:
        self._log = log
        self._reading = reading

    async def of(self, tenant: str, room: str, query: HistoryQuery) -> Record:
        """Return `{room, messages, events, has_more}`.

        ``has_more`` says that messages or events which were asked for are not in the answer.
        """
        newest, config = await self._reading.newest_with_config(tenant, room)
        state = newest["state"]
        of_messages = window(
            state["last_message_seq"], query.after_message, query.before_message, query.limit
        )
        of_events = window(
            state["last_event_seq"], query.after_event, query.before_event, query.limit
        )
        messages = await self._reading.messages_in(tenant, newest, of_messages, BUDGET)
        events = await self._events(self._log.of(tenant, room), of_events)
        for_messages, for_events = share(messages, events, BUDGET)
        messages = fitting(messages, for_messages, forward=of_messages.forward)
        events = fitting(events, for_events, forward=of_events.forward)
        complete = len(messages) == len(of_messages.asked) and len(events) == len(of_events.asked)
        return {
            "room": room_record(tenant, room, state, config),
            "messages": [row.record for row in messages],
            "events": [row.record for row in events],
            "has_more": not complete,
        }

    async def _events(self, scope: RoomScope, asked: Window) -> list[Sized]:
        """Return events of the window, in order, at least BUDGET bytes of them if there are."""
        wanted, budget = asked.wanted, BUDGET
        chunks: list[list[Sized]] = []
        while wanted and budget > 0:
            part = wanted[:CHUNK] if asked.forward else wanted[-CHUNK:]
            wanted = wanted[len(part) :] if asked.forward else wanted[: -len(part)]
            chunk = await _events_of(scope, part)
            budget -= sum(row.size for row in chunk)
            chunks.append(chunk)
        return [row for chunk in (chunks if asked.forward else reversed(chunks)) for row in chunk]


async def _events_of(scope: RoomScope, part: range) -> list[Sized]:
    found: list[Sized] = []
    after = part[0] - 1
    while after < part[-1]:
        # Entries without events (refusals) lie between; a page may hold nothing else.
        entries = await scope.events_after(after, CHUNK)
        if not entries:
            break
        found += [sized(event) for entry in entries for event in _in(entry, part)]
        after = max(after, entries[-1]["last_event_seq"])
    return found


def _in(entry: LogEntry, part: range) -> list[Record]:
    return [event for event in wire_events(entry) if event["seq"] in part]
