"""The `rooms` collection in memory."""

from __future__ import annotations

import asyncio

from abbotik_room_worker.adapters.projections import project
from abbotik_room_worker.domain.room import Room
from tests.fakes.room_worker.store import MemoryStore


class FakeProjections:
    """Goes only forward in rev; ``refusals`` is how many writes fail from now on.

    ``gate`` is waited for before a write, so that a test can look at what happens meanwhile.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.refusals = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def write(self, room: Room, at: int, *, urgent: bool = False) -> asyncio.Future[None]:  # noqa: ARG002  none lingers
        """Owe a state; the future is done when it, or a newer one, is stored."""
        return asyncio.create_task(self.store(room, at))

    async def store(self, room: Room, at: int) -> None:
        """Store a state unless a newer one is there."""
        await self.gate.wait()
        while self.refusals:
            self.refusals -= 1
            await asyncio.sleep(0)
        there = self._store.rooms.get(room.id)
        if there is None or there["rev"] < room.rev:
            self._store.rooms[room.id] = project(room, at)
