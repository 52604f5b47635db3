"""What leaves on the bus, kept for a test to look at and to wait for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

from abbotik_contracts.room_log import Record
from abbotik_room_worker.ports import RoomKey, UnavailableError

_PATIENCE_S = 10.0


class FakeSignals:
    """The bus that all workers of a test share.

    ``triggers`` and ``reminders`` hold a room once, as the streams do.
    """

    def __init__(self) -> None:
        self.published: list[Record] = []
        self.deltas: list[Record] = []
        self.triggers: dict[RoomKey, None] = {}
        self.nudges: list[str] = []
        self.reminders: dict[RoomKey, int] = {}
        self.away = False
        self._changed = asyncio.Condition()

    @property
    def connected(self) -> bool:
        """Say whether the bus is there."""
        return not self.away

    async def events(self, key: RoomKey, lines: Sequence[bytes]) -> None:
        """Tell followers what was committed."""
        for line in lines:
            event = json.loads(line)
            assert event["room_id"] == key[1]
            self.published.append(event)
        await self._tell()

    async def delta(self, key: RoomKey, frame: Record) -> None:
        """Tell followers what a model is saying."""
        assert frame["room_id"] == key[1]
        self.deltas.append(frame)
        await self._tell()

    async def want_turn(self, key: RoomKey) -> None:
        """Say that the room has work; a trigger that waits already counts as said."""
        if self.away:
            raise UnavailableError("the bus is away")
        self.triggers[key] = None
        await self._tell()

    async def remind(self, key: RoomKey, at: int) -> None:
        """Have some worker look at the room at a time."""
        self.reminders[key] = at
        await self._tell()

    async def nudge(self, room: str) -> None:
        """Ask whoever holds the room to look at it now."""
        self.nudges.append(room)
        await self._tell()

    def types(self, room: str) -> list[str]:
        """Return the types of a room's events in the order in which they were published."""
        return [str(e["event_type"]) for e in self.published if e["room_id"] == room]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; it is looked at whenever something leaves."""
        async with asyncio.timeout(_PATIENCE_S), self._changed:
            await self._changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
