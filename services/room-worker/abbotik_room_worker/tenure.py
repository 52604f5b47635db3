"""Whether a turn is still this worker's, asked before what no log can undo."""

from __future__ import annotations

import asyncio
import itertools

from abbotik_kernel.retry import Backoff
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.ports import RoomKey, Sessions, UnavailableError
from abbotik_runtime.uncancelled import begun

_AGAIN = Backoff(first=0.05, ceiling=0.25)


async def in_touch(sessions: Sessions) -> None:
    """Wait while others may have declared this worker dead; nothing is committed meanwhile."""
    for attempt in itertools.count():
        if sessions.live:
            return
        await asyncio.sleep(_AGAIN.delay(attempt))


class Tenure:
    """One turn under one lease. It begins where the room was just heard of."""

    def __init__(self, keeper: RoomKeeper, sessions: Sessions, key: RoomKey, epoch: int) -> None:
        self._keeper = keeper
        self._sessions = sessions
        self._key = key
        self._epoch = epoch
        self._lapses = sessions.lapses

    async def stands(self) -> bool:
        """Say whether the turn is still this worker's.

        A worker that has lived all the time knows. Another one waits until it is in touch, and
        reads whether somebody has taken the turn over.
        """
        for attempt in itertools.count():
            if self._sessions.live and self._sessions.lapses == self._lapses:
                break
            await in_touch(self._sessions)
            lapses = self._sessions.lapses
            try:
                # A turn is stopped at any moment; MongoDB's driver must not be.
                room = await asyncio.shield(begun(self._keeper.refresh(self._key)))
            except UnavailableError:
                await asyncio.sleep(_AGAIN.delay(attempt))
                continue
            if room is None or not room.holds(self._keeper.session, self._epoch):
                return False
            self._lapses = lapses
        return True
