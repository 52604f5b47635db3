"""The loops that keep every room with an owner, a deadline and a way out."""

from __future__ import annotations

from abbotik_kernel.clock import Clock
from abbotik_room_worker.burials import Burials
from abbotik_room_worker.domain.draft import Nothing
from abbotik_room_worker.domain.ticks import Tick
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.many import each
from abbotik_room_worker.ports import RoomKey, Sessions, Signals, Sweeps
from abbotik_room_worker.runner import TurnRunner

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
        self._burials = Burials(keeper, runner, sweeps, sessions, clock)

    async def say_waiting(self) -> None:
        """Say again that rooms wait which have waited for a while."""
        before = self._clock.now_ms() - _WANTING_FOR_MS
        for key in await self._sweeps.wanting(before, _BATCH):
            await self._signals.want_turn(key)

    async def keep_deadlines(self) -> None:
        """Keep every deadline that has passed, however many rooms have one. NATS is not needed."""
        now, seen = self._clock.now_ms(), set[RoomKey]()
        while due := await self._sweeps.due(now, _BATCH, but=seen):
            await each(due, self._keep_deadline)
            seen.update(due)

    async def look_at_own_rooms(self) -> None:
        """Read the rooms whose turn runs here and that somebody else has written to."""
        # A command that came to nothing may have read what the turn has not been told of.
        revs = {
            key[1]: min(held.rev, self._keeper.known_rev(key))
            for key, held in self._runner.slots.held.items()
        }
        await each(await self._sweeps.newer(revs), self._keeper.refresh)

    async def _keep_deadline(self, key: RoomKey) -> None:
        """Keep what is due in a room, or mend the projection that says so.

        It stays behind where a worker kept a deadline and never heard that it did.
        """
        if isinstance(await self._keeper.held(key, self._tick), Nothing):
            await self._keeper.refresh(key)

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
        await each(idle, self._keeper.refresh)
        await self._burials.bury(await self._sessions.dead(await self._sweeps.holders()))
