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
from abbotik_room_worker.tenure import Tenure, in_touch

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

    def tenure(self, key: RoomKey, epoch: int) -> Tenure:
        """Return the tenure of a turn whose room was just heard of."""
        return Tenure(self.keeper, self.sessions, key, epoch)

    async def in_touch(self) -> None:
        """Wait while others may have declared this worker dead; nothing is committed meanwhile."""
        await in_touch(self.sessions)

    async def stored_apart(self, key: RoomKey, text: str | None) -> str | None:
        """Store a text that is too large for an entry and return its digest, else None."""
        if text is None or len(text) * _MOST_BYTES_A_CHARACTER <= INLINE_BYTES:
            return None
        data = text.encode()
        return await self.contents.put(key[0], data) if len(data) > INLINE_BYTES else None
