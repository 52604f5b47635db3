"""What a turn needs to run, chosen once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from abbotik_contracts.room_log import INLINE_BYTES
from abbotik_kernel.clock import Clock
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.ports import (
    Contents,
    RoomKey,
    RoomLog,
    Sessions,
    Signals,
    Tool,
    TurnExecutor,
)

_MOST_BYTES_A_CHARACTER = 4


@dataclass(frozen=True, slots=True)
class Performer:
    """The ports, executors and tools that every performance shares."""

    keeper: RoomKeeper
    room_log: RoomLog
    contents: Contents
    signals: Signals
    sessions: Sessions
    clock: Clock
    executors: Mapping[str, TurnExecutor]
    tools: Mapping[str, Tool]

    async def stored_apart(self, key: RoomKey, text: str | None) -> str | None:
        """Store a text that is too large for an entry and return its digest, else None."""
        if text is None or len(text) * _MOST_BYTES_A_CHARACTER <= INLINE_BYTES:
            return None
        data = text.encode()
        return await self.contents.put(key[0], data) if len(data) > INLINE_BYTES else None
