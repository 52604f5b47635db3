"""A room-worker that takes the next rev after a lost race, without deciding again."""

from __future__ import annotations

from unittest.mock import patch

from abbotik_contracts.room_log import LogEntry, entry_id
from abbotik_room_worker import app
from abbotik_room_worker.adapters.room_log import MongoRoomLog
from abbotik_room_worker.homes import Homes
from abbotik_room_worker.ports import RoomKey
from abbotik_runtime.log_writer import Appended, Lost


class PushyLog(MongoRoomLog):
    """Appends what was decided on an older state of the room, under whatever rev is free."""

    async def append(self, entry: LogEntry) -> Appended:
        """Write the entry, at any price."""
        while isinstance(appended := await super().append(entry), Lost):
            entry["rev"] += 1
            entry["_id"] = entry_id(entry["room"], entry["rev"])
        return appended


class NoHomes(Homes):
    """Decides where a command happens to be, so that two workers race as often as they can."""

    def elsewhere(self, _key: RoomKey) -> str | None:
        """Pass nothing on."""
        return None


if __name__ == "__main__":
    with patch.object(app, "MongoRoomLog", PushyLog), patch.object(app, "Homes", NoHomes):
        app.main()
