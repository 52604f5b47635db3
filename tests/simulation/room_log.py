"""The product's own log of rooms over the database in memory; only GridFS is left out."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from abbotik_contracts.room_log import LogEntry
from abbotik_room_worker.adapters.room_log import MongoRoomLog
from abbotik_runtime.blobs import Blobs
from abbotik_runtime.log_reader import RoomLogReader
from abbotik_runtime.log_writer import Appended, LogWriter
from tests.simulation.clocks import TrueClock
from tests.simulation.driver import SimDatabase


class SimRoomLog(MongoRoomLog):
    """The log. ``off_ms`` is by how much the time of an entry was wrong when it was decided."""

    def __init__(self, database: SimDatabase, session: str) -> None:
        # Not through the one above: GridFS takes nothing but the driver's own database, and no
        # content of a life is large.
        self.session = session
        self._reader = RoomLogReader(database.seen_as())
        self._writer = LogWriter(database.seen_as(), session)
        self._blobs = cast("Blobs", None)
        self._recent = OrderedDict()
        self.off_ms: list[int] = []

    async def append(self, entry: LogEntry) -> Appended:
        """Write one entry under its rev."""
        self.off_ms.append(entry["at"] - TrueClock().now_ms())
        return await super().append(entry)
