"""The end of a worker that died: others mend what it owed, take over what it held, forget it."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from abbotik_kernel.clock import Clock
from abbotik_kernel.retry import Backoff
from abbotik_room_worker.domain.takeover import Recover
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.many import Left, each
from abbotik_room_worker.ports import DeadSession, RoomKey, Sessions, Sweeps
from abbotik_room_worker.runner import TurnRunner

log = structlog.get_logger(__name__)

_BATCH = 64
# A room that cannot be read needs a person; until then all that the dead worker owed is read again.
_AGAIN = Backoff(first=2.0, ceiling=60.0)


class Burials:
    """Buries dead sessions.

    Where a room cannot be read, the session stays, and what it owed is looked through less and less
    often; what it held is taken over all the same.
    """

    def __init__(
        self,
        keeper: RoomKeeper,
        runner: TurnRunner,
        sweeps: Sweeps,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._keeper = keeper
        self._runner = runner
        self._sweeps = sweeps
        self._sessions = sessions
        self._clock = clock
        # By session: how often it was looked through, and when it is next, in ms.
        self._broken: dict[str, tuple[int, int]] = {}

    async def bury(self, dead: Sequence[DeadSession]) -> None:
        """Do what is left to do for each; a session is forgotten when nothing is."""
        still = {one.session for one in dead}
        self._broken = {name: when for name, when in self._broken.items() if name in still}
        for one in dead:
            await self._bury(one)

    async def _bury(self, dead: DeadSession) -> None:
        mended = await self._mended(dead)
        held = await self._sweeps.held_by(dead.session, _BATCH)
        await each(held, lambda key: self._take_over(key, dead.session))
        if mended and not held:
            log.info("session.buried", session=dead.session)
            await self._sessions.forget(dead.session)

    async def _mended(self, dead: DeadSession) -> bool:
        """Repair the projections that it owed, and say whether all are."""
        tries, not_before_ms = self._broken.get(dead.session, (0, 0))
        if self._clock.now_ms() < not_before_ms:
            return False
        left, through = Left(), dead.projected_through
        while owed := await self._sweeps.written_by(dead.session, through, _BATCH):
            left += await each(dict.fromkeys(one.key for one in owed), self._keeper.refresh)
            through = owed[-1].counter
        if left.broken:
            pause_ms = round(_AGAIN.delay(tries) * 1000)
            self._broken[dead.session] = (tries + 1, self._clock.now_ms() + pause_ms)
        return left == Left()

    async def _take_over(self, key: RoomKey, session: str) -> None:
        """Recover a room of a session, if its log still says that the session holds it."""
        with self._runner.offer() as claim:
            if claim is None:
                return
            room = await self._keeper.refresh(key)
            if room is not None and room.lease is not None and room.lease.session == session:
                await self._keeper.held(key, Recover(claim.session, session, room.epoch))
