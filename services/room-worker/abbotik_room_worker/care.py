"""The loops that keep every room with an owner, a deadline and a way out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from abbotik_kernel.clock import Clock
from abbotik_room_worker.domain.takeover import Recover
from abbotik_room_worker.domain.ticks import Tick
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.ports import (
    DeadSession,
    RoomKey,
    Sessions,
    Signals,
    Sweeps,
    UnavailableError,
)
from abbotik_room_worker.runner import TurnRunner

log = structlog.get_logger(__name__)

_BATCH = 64
_WANTING_FOR_MS = 1_000


class Care:
    """One pass of each loop; `app.py` decides how often."""

    def __init__(
        self,
        keeper: RoomKeeper,
        runner: TurnRunner,
        sweeps: Sweeps,
        sessions: Sessions,
        signals: Signals,
        clock: Clock,
        max_queue: int,
    ) -> None:
        self._keeper = keeper
        self._runner = runner
        self._sweeps = sweeps
        self._sessions = sessions
        self._signals = signals
        self._clock = clock
        self._tick = Tick(keeper.session, max_queue)

    async def say_waiting(self) -> None:
        """Say again that rooms wait which have waited for a while."""
        before = self._clock.now_ms() - _WANTING_FOR_MS
        for key in await self._sweeps.wanting(before, _BATCH):
            await self._signals.want_turn(key)

    async def keep_deadlines(self) -> None:
        """Keep every deadline that has passed, however many rooms have one. NATS is not needed."""
        now, seen = self._clock.now_ms(), set[RoomKey]()
        while due := await self._sweeps.due(now, _BATCH, but=seen):
            await _each(due, lambda key: self._keeper.held(key, self._tick))
            seen.update(due)

    async def look_at_own_rooms(self) -> None:
        """Read the rooms whose turn runs here and that somebody else has written to."""
        revs = {key[1]: self._keeper.known_rev(key) for key in self._runner.slots.held}
        await _each(await self._sweeps.newer(revs), self._keeper.refresh)

    async def recover(self) -> None:
        """Take over what dead workers held, and what this one holds and does not run."""
        if self._runner.draining:
            return
        mine = await self._sweeps.held_by(self._keeper.session, self._runner.slots.total + 1)
        # A projection behind the room in memory is of a turn that has ended since.
        idle = [
            key
            for key, rev in mine.items()
            if not self._runner.runs(key) and self._keeper.known_rev(key) <= rev
        ]
        # The log decides: a turn that is ours and runs nowhere is begun by the refresh.
        await _each(idle, self._keeper.refresh)
        for dead in await self._sessions.dead(await self._sweeps.holders()):
            if await self._bury(dead):
                log.info("session.buried", session=dead.session)
                await self._sessions.forget(dead.session)

    async def _bury(self, dead: DeadSession) -> bool:
        """Repair what a dead worker owed and take over what it held; True when nothing is left."""
        through, mended = dead.projected_through, True
        while owed := await self._sweeps.written_by(dead.session, through, _BATCH):
            rooms = dict.fromkeys(written.key for written in owed)
            mended = await _each(rooms, self._keeper.refresh) and mended
            through = owed[-1].counter
        held = await self._sweeps.held_by(dead.session, _BATCH)
        await _each(held, lambda key: self._take_over(key, dead.session))
        return mended and not held

    async def _take_over(self, key: RoomKey, session: str) -> None:
        """Recover a room of a session, if its log still says that the session holds it."""
        with self._runner.offer() as claim:
            if claim is None:
                return
            room = await self._keeper.refresh(key)
            if room is not None and room.lease is not None and room.lease.session == session:
                await self._keeper.held(key, Recover(claim.session, session, room.epoch))


async def _each(keys: Iterable[RoomKey], care: Callable[[RoomKey], Awaitable[object]]) -> bool:
    """Care for rooms at once, and say whether all went well.

    A room that cannot be cared for is logged and keeps nobody else waiting. That the store is away
    shows at the next question to it.
    """
    rooms = list(keys)
    ends = await asyncio.gather(*map(care, rooms), return_exceptions=True)
    broken = 0
    for key, end in zip(rooms, ends, strict=True):
        if isinstance(end, UnavailableError):
            log.warning("room.waits", tenant=key[0], room=key[1], error=str(end))
        elif isinstance(end, Exception):
            log.error("room.uncared", tenant=key[0], room=key[1], exc_info=end)
        elif isinstance(end, BaseException):
            raise end
        broken += isinstance(end, BaseException)
    return not broken
