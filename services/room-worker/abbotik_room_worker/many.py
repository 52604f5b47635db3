"""Caring for many rooms at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog

from abbotik_room_worker.ports import RoomKey, UnavailableError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Left:
    """How many rooms were not cared for: the store was away, or the room itself cannot be read."""

    waiting: int = 0
    broken: int = 0

    def __add__(self, other: Left) -> Left:
        """Count both."""
        return Left(self.waiting + other.waiting, self.broken + other.broken)


async def each(keys: Iterable[RoomKey], care: Callable[[RoomKey], Awaitable[object]]) -> Left:
    """Care for rooms at once, and return how many are left.

    A room that cannot be cared for is logged and keeps nobody else waiting. That the store is away
    shows at the next question to it.
    """
    rooms = list(keys)
    ends = await asyncio.gather(*map(care, rooms), return_exceptions=True)
    waiting = broken = 0
    for key, end in zip(rooms, ends, strict=True):
        if isinstance(end, UnavailableError):
            log.warning("room.waits", tenant=key[0], room=key[1], error=str(end))
            waiting += 1
        elif isinstance(end, Exception):
            log.error("room.uncared", tenant=key[0], room=key[1], exc_info=end)
            broken += 1
        elif isinstance(end, BaseException):
            raise end
    return Left(waiting, broken)
