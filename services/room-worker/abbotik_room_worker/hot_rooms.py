"""The rooms that this process decided on lately, in memory, as the log had them."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

import orjson

from abbotik_contracts.room_config import RoomConfig
from abbotik_contracts.room_log import Record
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.ports import RoomKey, RoomLog, Sessions
from abbotik_runtime.log_reader import Configured

_MOST = 4096
_MOST_CONFIGS = 256


class HotRooms:
    """What is at hand, and how to read the rest. All reads raise UnavailableError."""

    def __init__(self, room_log: RoomLog, sessions: Sessions) -> None:
        self._log = room_log
        self._sessions = sessions
        self._rooms: OrderedDict[RoomKey, Room] = OrderedDict()
        self._configs = SharedConfigs()

    def __contains__(self, key: RoomKey) -> bool:
        return key in self._rooms

    def known(self, key: RoomKey) -> Room | None:
        """Return the copy at hand; another worker may have written since."""
        return self._rooms.get(key)

    async def find(self, key: RoomKey) -> Room | None:
        """Return the copy at hand, else what the log has."""
        room = self._rooms.get(key)
        return await self.read(key) if room is None else room

    async def read(self, key: RoomKey) -> Room | None:
        """Read the log, whatever is at hand."""
        hot = self._rooms.get(key)
        known = None if hot is None else Configured(hot.config_rev, hot.config_record)
        room = await self._log.load(key, known)
        if room is not None:
            self.keep(room)
        return room

    async def read_as_of_now(self, key: RoomKey) -> Room | None:
        """Read the log once more for as long as a lapse of the session came in between.

        In a lapse somebody may have taken over what the log had said is this worker's.
        """
        while True:
            lapses = self._sessions.lapses
            room = await self.read(key)
            if self._sessions.lapses == lapses:
                return room

    def keep(self, room: Room) -> None:
        """Keep a copy at hand, for as long as there is place."""
        key = (room.tenant, room.id)
        before = self._rooms.get(key)
        if before is None or before.config is not room.config:
            room.config, room.config_record = self._configs.shared(room.config, room.config_record)
        self._rooms[key] = room
        self._rooms.move_to_end(key)
        if len(self._rooms) > _MOST:
            self._rooms.popitem(last=False)

    def drop(self, key: RoomKey) -> None:
        """Keep no copy: it may be old."""
        self._rooms.pop(key, None)


class SharedConfigs:
    """One copy of each configuration: most rooms have the same, which is most of what they take."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[RoomConfig, Record]] = OrderedDict()

    def shared(self, config: RoomConfig, record: Record) -> tuple[RoomConfig, Record]:
        """Return a configuration, and the record of it, that is the same as this one."""
        digest = sha256(orjson.dumps(record, option=orjson.OPT_SORT_KEYS)).digest()
        found = self._known.setdefault(digest, (config, record))
        self._known.move_to_end(digest)
        if len(self._known) > _MOST_CONFIGS:
            self._known.popitem(last=False)
        # JSON writes what is no number as null.
        return found if found[1] == record else (config, record)
