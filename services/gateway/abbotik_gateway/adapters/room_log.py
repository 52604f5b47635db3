"""The room log, read from MongoDB: `runtime.log_reader` with the gateway's errors."""

from __future__ import annotations

from abbotik_contracts.room_log import LogEntry, Record, StoredTurn
from abbotik_gateway.adapters.away import mongo_away
from abbotik_runtime.log_reader import RoomLogReader, RoomLogScope
from abbotik_runtime.uncancelled import uncancelled


class MongoRoomLog:
    """The log of all rooms; majority reads from the primary."""

    def __init__(self, reader: RoomLogReader) -> None:
        self._reader = reader

    def of(self, tenant: str, room: str) -> MongoRoomScope:
        """Return the log of one room of one tenant."""
        return MongoRoomScope(self._reader.of(tenant, room))


class MongoRoomScope:
    """One room's log. Every method raises UnavailableError where MongoDB does not answer."""

    def __init__(self, scope: RoomLogScope) -> None:
        self._scope = scope

    @uncancelled
    async def last(self) -> LogEntry | None:
        """Return the newest entry."""
        with mongo_away():
            return await self._scope.last()

    @uncancelled
    async def room(self) -> tuple[LogEntry, Record] | None:
        """Return the newest entry and the configuration that holds with it."""
        with mongo_away():
            return await self._scope.room()

    @uncancelled
    async def by_key(self, key: str) -> LogEntry | None:
        """Return the entry that settled a command, began a turn or holds an output of that id."""
        with mongo_away():
            return await self._scope.by_key(key)

    @uncancelled
    async def events_after(self, seq: int, limit: int = 500) -> list[LogEntry]:
        """Return entries with events above ``seq``, oldest first."""
        with mongo_away():
            return await self._scope.events_after(seq, limit)

    @uncancelled
    async def messages_after(self, seq: int, limit: int = 500) -> list[LogEntry]:
        """Return entries with messages above ``seq``, oldest first."""
        with mongo_away():
            return await self._scope.messages_after(seq, limit)

    @uncancelled
    async def ended_turns(self, first: int, last: int) -> dict[int, StoredTurn]:
        """Return the turns of the messages ``first`` to ``last`` that have ended."""
        with mongo_away():
            return await self._scope.ended_turns(first, last)
