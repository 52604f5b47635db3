"""What a turn needs to run, chosen once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from abbotik_contracts.room_log import INLINE_BYTES
from abbotik_kernel.clock import Clock
from abbotik_kernel.retry import Backoff
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.ports import (
    Contents,
    RoomKey,
    RoomLog,
    Sessions,
    Signals,
    Tool,
    TurnExecutor,
    UnavailableError,
)

_MOST_BYTES_A_CHARACTER = 4
_AGAIN = Backoff(first=0.05, ceiling=0.25)


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

    async def in_touch(self) -> None:
        """Wait while others may have declared this worker dead; nothing is committed meanwhile."""
        for attempt in itertools.count():
            if self.sessions.live:
                return
            await asyncio.sleep(_AGAIN.delay(attempt))

    async def holds(self, key: RoomKey, epoch: int) -> bool:
        """Say whether a turn is still this worker's; asked before it does what no log can undo.

        A worker that has lived all the time knows. Another one waits until it is in touch, and
        reads whether somebody has taken the turn over.
        """
        if self.sessions.live:
            return True
        for attempt in itertools.count():
            await self.in_touch()
            try:
                room = await self.keeper.refresh(key)
            except UnavailableError:
                await asyncio.sleep(_AGAIN.delay(attempt))
            else:
                return room is not None and room.holds(self.keeper.session, epoch)
        return False

    async def stored_apart(self, key: RoomKey, text: str | None) -> str | None:
        """Store a text that is too large for an entry and return its digest, else None."""
        if text is None or len(text) * _MOST_BYTES_A_CHARACTER <= INLINE_BYTES:
            return None
        data = text.encode()
        return await self.contents.put(key[0], data) if len(data) > INLINE_BYTES else None
