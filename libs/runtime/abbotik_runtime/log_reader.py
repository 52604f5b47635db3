"""Reading a room's log. No query without a tenant: a scope is (tenant, room) or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from abbotik_contracts.room_log import (
    LogEntry,
    Record,
    StoredTurn,
    entry_id,
    first_event_seq,
)

ROOM_LOG = "room_log"

Document = Mapping[str, Any]


class Configured(NamedTuple):
    """A room's configuration and the rev that it came with."""

    rev: int
    config: Record


class RoomLogReader:
    """The log of all rooms; `of` gives the one that a caller may see.

    Reads are majority reads from the primary: what they show is never taken back.
    """

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._entries = database.get_collection(
            ROOM_LOG,
            read_concern=ReadConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )

    def of(self, tenant: str, room: str) -> RoomLogScope:
        """Return the log of one room of one tenant."""
        return RoomLogScope(self._entries, tenant, room)


class RoomLogScope:
    """One room's log. Entries come in the order of their rev, and at most ``limit`` of them."""

    def __init__(self, entries: AsyncCollection[dict[str, Any]], tenant: str, room: str) -> None:
        self._entries = entries
        self._scope = {"tenant": tenant, "room": room}
        self._room = room

    async def last(self) -> LogEntry | None:
        """Return the newest entry, which holds the room's state."""
        return await self._one({"_id": self._any_rev()}, [("_id", DESCENDING)])

    async def at(self, rev: int) -> LogEntry | None:
        """Return the entry with that rev."""
        return await self._one({"_id": entry_id(self._room, rev)})

    async def room(self, known: Configured | None = None) -> tuple[LogEntry, Record] | None:
        """Return the newest entry and the configuration that holds with it.

        The configuration is not read again where it is the one that is ``known``.
        """
        newest = await self.last()
        if newest is None:
            return None
        if "config" in newest:
            return newest, newest["config"]
        config_rev = newest["state"]["config_rev"]
        if known is not None and known.rev == config_rev:
            return newest, known.config
        changed = await self.at(config_rev)
        if changed is None or "config" not in changed:
            raise LookupError(f"the log of room {self._room} has no configuration")
        return newest, changed["config"]

    async def by_key(self, key: str) -> LogEntry | None:
        """Return the entry that settled a command, began a turn or holds an output of that id."""
        return await self._one({"keys": key})

    async def rivals(self, rev: int, keys: Sequence[str]) -> list[LogEntry]:
        """Return the entries that stand in the way of one with that rev and these keys."""
        either: list[Document] = [{**self._scope, "_id": entry_id(self._room, rev)}]
        either += [{**self._scope, "keys": key} for key in keys]
        found = self._entries.find({"$or": either})
        return cast("list[LogEntry]", await found.to_list(len(either)))

    async def events_after(self, seq: int, limit: int = 500) -> list[LogEntry]:
        """Return the entries from the one that holds event ``seq + 1`` on."""
        return await self._page(
            {"events": {"$exists": True}, "last_event_seq": {"$gt": seq}}, "last_event_seq", limit
        )

    async def events_before(self, seq: int, limit: int = 500) -> list[LogEntry]:
        """Return the newest entries that hold events below ``seq``."""
        below = await self._page(
            {"events": {"$exists": True}, "last_event_seq": {"$lt": seq}},
            "last_event_seq",
            limit,
            newest=True,
        )
        straddling = await self.events_after(seq - 1, 1)
        return [*below, *(entry for entry in straddling if first_event_seq(entry) < seq)]

    async def messages_after(self, seq: int, limit: int = 500) -> list[LogEntry]:
        """Return the entries with messages above ``seq``."""
        return await self._page(
            {"messages": {"$exists": True}, "last_message_seq": {"$gt": seq}},
            "last_message_seq",
            limit,
        )

    async def messages_before(self, seq: int, limit: int = 500) -> list[LogEntry]:
        """Return the newest entries with messages below ``seq``."""
        return await self._page(
            {"messages": {"$exists": True}, "last_message_seq": {"$lt": seq}},
            "last_message_seq",
            limit,
            newest=True,
        )

    async def entries(self) -> AsyncIterator[LogEntry]:
        """Yield every entry."""
        async for entry in self._entries.find(
            {**self._scope, "_id": self._any_rev()}, sort=[("_id", ASCENDING)]
        ):
            yield cast("LogEntry", entry)

    async def ended_turns(self, first: int, last: int) -> dict[int, StoredTurn]:
        """Return the turns of the messages with seq ``first`` to ``last`` that have ended."""
        cursor = self._entries.find(
            {
                **self._scope,
                # Named for the index, which holds only entries with turns.
                "turns": {"$exists": True},
                "turns.message_seq": {"$gte": first, "$lte": last},
            },
            {"turns": 1},
            sort=[("rev", ASCENDING)],
        )
        turns: dict[int, StoredTurn] = {}
        async for entry in cursor:
            for turn in entry["turns"]:
                if first <= turn["message_seq"] <= last:
                    turns[turn["message_seq"]] = cast("StoredTurn", turn)
        return turns

    def _any_rev(self) -> Document:
        return {"$gte": f"{self._room}:", "$lt": f"{self._room};"}

    async def _one(
        self, filters: Document, sort: list[tuple[str, int]] | None = None
    ) -> LogEntry | None:
        found = await self._entries.find_one({**self._scope, **filters}, sort=sort)
        return cast("LogEntry | None", found)

    async def _page(
        self, filters: Document, order: str, limit: int, *, newest: bool = False
    ) -> list[LogEntry]:
        direction = DESCENDING if newest else ASCENDING
        cursor = self._entries.find(
            {**self._scope, **filters}, sort=[(order, direction)], limit=limit
        )
        page = cast("list[LogEntry]", await cursor.to_list(limit))
        return page[::-1] if newest else page
