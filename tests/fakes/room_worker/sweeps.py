"""Finding rooms that need somebody, in memory."""

from __future__ import annotations

from collections.abc import Collection

from abbotik_room_worker.ports import RoomKey, Written
from tests.fakes.room_worker.store import MemoryStore


class FakeSweeps:
    """Asks the projections and the log of all tenants; returns keys only."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def wanting(self, before_ms: int, limit: int) -> list[RoomKey]:
        """Return rooms that want a turn and have not changed since."""
        found = (r for r in self._store.rooms.values() if r["wants_turn"] and r["at"] < before_ms)
        return [(room["tenant"], room["_id"]) for room in found][:limit]

    async def due(self, now_ms: int, limit: int, *, but: Collection[RoomKey] = ()) -> list[RoomKey]:
        """Return rooms with a deadline that has passed, the oldest first, but not these."""
        found = [
            room
            for room in self._store.rooms.values()
            if room["due_at"] is not None
            and room["due_at"] <= now_ms
            and (room["tenant"], room["_id"]) not in but
        ]
        found.sort(key=lambda room: room["due_at"])
        return [(room["tenant"], room["_id"]) for room in found][:limit]

    async def holders(self) -> list[str]:
        """Return the sessions that leases name."""
        return sorted({room["session"] for room in self._store.rooms.values() if room["session"]})

    async def held_by(self, session: str, limit: int) -> dict[RoomKey, int]:
        """Return rooms whose lease names the session, and the rev that said so."""
        found = [room for room in self._store.rooms.values() if room["session"] == session]
        return {(room["tenant"], room["_id"]): room["rev"] for room in found[:limit]}

    async def written_by(self, session: str, after_counter: int, limit: int) -> list[Written]:
        """Return the session's entries above the counter, in the order of their counters."""
        found = [
            Written((entry["tenant"], entry["room"]), entry["counter"])
            for entry in self._store.entries.values()
            if entry["session"] == session and entry["counter"] > after_counter
        ]
        return sorted(found, key=lambda written: written.counter)[:limit]

    async def newer(self, revs: dict[str, int]) -> list[RoomKey]:
        """Return the rooms, of those given with the rev that is known here, that moved on."""
        found = (self._store.rooms[room] for room in revs if room in self._store.rooms)
        return [(room["tenant"], room["_id"]) for room in found if room["rev"] > revs[room["_id"]]]
