"""The highest rev of each room that this process told anybody, so that no read goes back."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from abbotik_contracts.room_log import LogEntry
from abbotik_gateway.ports import UnavailableError
from abbotik_kernel.retry import Backoff

MAX_ROOMS = 20_000

# Behind is possible for a moment only: while a new primary catches up with what the old one
# acknowledged.
_TRIES = 8
_PAUSE = Backoff(first=0.02, ceiling=0.5)


class SeenRevs:
    """Remembers the revs of the rooms that were used last."""

    def __init__(self, max_rooms: int = MAX_ROOMS) -> None:
        self._revs: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._max_rooms = max_rooms

    def note(self, tenant: str, room: str, rev: int) -> None:
        """Remember a rev that somebody is told."""
        place = (tenant, room)
        known = self._revs.get(place, 0)
        if rev > known:
            self._revs[place] = rev
        if known:
            self._revs.move_to_end(place)
        elif len(self._revs) > self._max_rooms:
            self._revs.popitem(last=False)

    async def newest(
        self, tenant: str, room: str, read: Callable[[], Awaitable[LogEntry | None]]
    ) -> LogEntry | None:
        """Return what ``read`` gives once it is not behind; UnavailableError if it stays so."""
        for attempt in range(_TRIES):
            entry = await read()
            rev = 0 if entry is None else entry["rev"]
            if rev >= self._revs.get((tenant, room), 0):
                self.note(tenant, room, rev)
                return entry
            await asyncio.sleep(_PAUSE.delay(attempt))
        raise UnavailableError("the log is behind what was told already")
