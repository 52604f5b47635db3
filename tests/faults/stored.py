"""What MongoDB holds, read from the server itself and past all gateways."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self, cast

from bson import encode
from pymongo import MongoClient
from pymongo.read_concern import ReadConcern

from abbotik_contracts.room_log import LogEntry
from abbotik_contracts.room_views import message_record, message_state, wire_events
from tests.faults.history import Entry, Record, RoomLog


class Stored:
    """Reads the logs of rooms and who holds them."""

    def __init__(self, mongo_url: str, database: str) -> None:
        self._client = MongoClient[Record](mongo_url)
        self._entries = self._client[database].get_collection(
            "room_log", read_concern=ReadConcern("majority")
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._client.close()

    def held_by(self, session: str, rooms: Iterable[str]) -> list[str]:
        """Return those of the rooms whose turn a worker's session runs."""
        return [room for room in rooms if self._holder(room) == session]

    def log(self, room: str) -> RoomLog:
        """Return the whole log of a room."""
        found = self._entries.find(_entries_of(room), sort=[("_id", 1)])
        entries = cast("list[LogEntry]", list(found))
        state = entries[-1]["state"]
        kept = [_kept(entry) for entry in entries]
        return RoomLog(
            room=room,
            events=[event for entry in kept for event in entry.events],
            messages=[
                message_record(room, message, entry["at"], message_state(message, state), None)
                for entry in entries
                for message in entry.get("messages", ())
            ],
            turns=cast("int", state["usage"]["turns"]),
            entries=kept,
        )

    def _holder(self, room: str) -> str | None:
        newest = self._entries.find_one(_entries_of(room), {"state.lease": 1}, sort=[("_id", -1)])
        lease = newest["state"]["lease"] if newest else None
        return lease["session"] if lease else None


def _kept(entry: LogEntry) -> Entry:
    content = ("messages", "events", "turns", "config")
    return Entry(
        rev=entry["rev"],
        session=entry["session"],
        at=entry["at"],
        state=cast("Record", entry["state"]),
        events=list(wire_events(entry)),
        keys=len(entry.get("keys", ())),
        answer=entry.get("answer", {}),
        config=entry.get("config"),
        size=len(encode(entry)),
        beside=len(encode({name: one for name, one in entry.items() if name not in content})),
    )


def _entries_of(room: str) -> Record:
    return {"_id": {"$gte": f"{room}:", "$lt": f"{room};"}}
