"""Finding rooms that need somebody, over all tenants: keys only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from abbotik_room_worker.adapters.answering import answering
from abbotik_room_worker.adapters.projections import ROOMS
from abbotik_room_worker.ports import RoomKey, Written
from abbotik_runtime.log_reader import ROOM_LOG

_KEY = {"_id": 1, "tenant": 1}
_KEY_AND_REV = {**_KEY, "rev": 1}
# Named for the index, which holds only rooms with a lease.
_HELD = {"session": {"$gt": ""}}


class MongoSweeps:
    """The one place that asks without a tenant; it returns no content."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._rooms = database[ROOMS]
        self._entries = database[ROOM_LOG]

    async def wanting(self, before_ms: int, limit: int) -> list[RoomKey]:
        """Return rooms that want a turn and have not changed since, picked by chance."""
        with answering():
            cursor = await self._rooms.aggregate(
                [
                    {"$match": {"wants_turn": True, "at": {"$lt": before_ms}}},
                    {"$limit": limit * 8},
                    {"$project": _KEY},
                    {"$sample": {"size": limit}},
                ]
            )
            return [_key(found) async for found in cursor]

    async def due(self, now_ms: int, limit: int, *, but: Collection[RoomKey] = ()) -> list[RoomKey]:
        """Return rooms with a deadline that has passed, the oldest first, but not these."""
        others = {"_id": {"$nin": [room for _, room in but]}} if but else {}
        due = {"due_at": {"$gt": 0, "$lte": now_ms}, **others}
        with answering():
            cursor = self._rooms.find(due, _KEY, sort=[("due_at", 1)], limit=limit)
            return [_key(found) async for found in cursor]

    async def holders(self) -> list[str]:
        """Return the sessions that leases name."""
        with answering():
            return [str(found) for found in await self._rooms.distinct("session", _HELD)]

    async def held_by(self, session: str, limit: int) -> dict[RoomKey, int]:
        """Return rooms whose lease names the session, and the rev that said so."""
        with answering():
            cursor = self._rooms.find({"session": session}, _KEY_AND_REV, limit=limit)
            return {_key(found): found["rev"] async for found in cursor}

    async def newer(self, revs: dict[str, int]) -> list[RoomKey]:
        """Return the rooms, of those given with the rev that is known here, that moved on."""
        if not revs:
            return []
        with answering():
            cursor = self._rooms.find({"_id": {"$in": list(revs)}}, _KEY_AND_REV)
            return [_key(found) async for found in cursor if found["rev"] > revs[found["_id"]]]

    async def written_by(self, session: str, after_counter: int, limit: int) -> list[Written]:
        """Return the session's entries above the counter, in the order of their counters."""
        mine = {"session": session, "counter": {"$gt": after_counter}}
        wanted = {"_id": 0, "tenant": 1, "room": 1, "counter": 1}
        with answering():
            cursor = self._entries.find(mine, wanted, sort=[("counter", 1)], limit=limit)
            return [
                Written((found["tenant"], found["room"]), found["counter"])
                async for found in cursor
            ]


def _key(found: dict[str, Any]) -> RoomKey:
    return found["tenant"], found["_id"]
