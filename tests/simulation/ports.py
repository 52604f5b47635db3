"""The worker's ports over one store in memory, each call through the network.

The log and the sessions are the product's own, over a driver in memory.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from functools import partial
from typing import cast

from abbotik_contracts.room_log import LogEntry
from abbotik_room_worker.adapters.room_log import MongoRoomLog
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.ports import RoomKey, UnavailableError, Written
from abbotik_runtime.blobs import Blobs
from abbotik_runtime.log_reader import RoomLogReader
from abbotik_runtime.log_writer import Appended, LogWriter
from tests.fakes.room_worker.projections import FakeProjections
from tests.fakes.room_worker.store import MemoryStore
from tests.fakes.room_worker.sweeps import FakeSweeps
from tests.simulation.clocks import TrueClock
from tests.simulation.database import SimDatabase
from tests.simulation.network import Machine

_AGAIN_S = 0.1


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


class SimProjections:
    """Projections that are owed until they are stored, a while after the commit."""

    def __init__(self, store: MemoryStore, machine: Machine) -> None:
        self._rooms = FakeProjections(store)
        self._machine = machine

    def write(self, room: Room, at: int, *, urgent: bool = False) -> asyncio.Future[None]:
        """Owe a state; the future is done when it, or a newer one, is stored."""
        return asyncio.create_task(self._write(room, at, 0 if urgent else 0.5))

    async def _write(self, room: Room, at: int, linger_s: float) -> None:
        await asyncio.sleep(self._machine.random.uniform(0, linger_s))
        while True:
            try:
                await self._machine.call(partial(self._store, room, at))
            except UnavailableError:
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def _store(self, room: Room, at: int) -> None:
        await self._rooms.store(room, at)


class SimSweeps:
    """Keys of rooms that need somebody."""

    def __init__(self, store: MemoryStore, machine: Machine) -> None:
        self._sweeps = FakeSweeps(store)
        self._call = machine.call

    async def wanting(self, before_ms: int, limit: int) -> list[RoomKey]:
        """Return rooms that want a turn and have not changed since."""
        return await self._call(partial(self._sweeps.wanting, before_ms, limit))

    async def due(self, now_ms: int, limit: int, *, but: Collection[RoomKey] = ()) -> list[RoomKey]:
        """Return rooms with a deadline that has passed."""
        return await self._call(partial(self._sweeps.due, now_ms, limit, but=but))

    async def holders(self) -> list[str]:
        """Return the sessions that leases name."""
        return await self._call(self._sweeps.holders)

    async def held_by(self, session: str, limit: int) -> dict[RoomKey, int]:
        """Return rooms whose lease names the session, and the rev that said so."""
        return await self._call(partial(self._sweeps.held_by, session, limit))

    async def written_by(self, session: str, after_counter: int, limit: int) -> list[Written]:
        """Return the session's entries above the counter."""
        return await self._call(partial(self._sweeps.written_by, session, after_counter, limit))

    async def newer(self, revs: dict[str, int]) -> list[RoomKey]:
        """Return the rooms that moved on."""
        return await self._call(partial(self._sweeps.newer, revs))
