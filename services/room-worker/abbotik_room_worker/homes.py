"""Where a room's commands are decided best: at the worker that has its newest copy in memory."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from abbotik_room_worker.domain.home import home_of
from abbotik_room_worker.ports import RoomKey, Sessions

_DOUBT_S = 5.0


class Homes:
    """The live workers, who share the rooms among them.

    A worker that has not seen a room's newest entry loses a race first and reads the log then,
    which is more than twice the work of a turn. So each room has a home, on which all agree, and
    its commands are passed on to there. That is no lock: any worker may decide any command, the
    log decides between them. ``runs`` says whether a room's turn runs here, ``now`` the time in
    seconds.
    """

    def __init__(
        self,
        session: str,
        sessions: Sessions,
        runs: Callable[[RoomKey], bool],
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.session = session
        self._sessions = sessions
        self._runs = runs
        self._now = now
        self._live: tuple[str, ...] = (session,)
        self._doubted_until: dict[str, float] = {}

    async def look(self) -> None:
        """See who is there. Raises UnavailableError."""
        self._live = tuple(sorted([self.session, *await self._sessions.others()]))
        now = self._now()
        self._doubted_until = {
            session: until for session, until in self._doubted_until.items() if until > now
        }

    def elsewhere(self, key: RoomKey) -> str | None:
        """Return the session at which the room is at home; None where it is best decided here."""
        if len(self._live) == 1 or self._runs(key):
            return None
        home = home_of(key[1], self._live)
        if home == self.session or self._doubted_until.get(home, 0.0) > self._now():
            return None
        return home

    def doubt(self, key: RoomKey) -> None:
        """Note that a command of the room came again: for some seconds its home gets none."""
        home = self.elsewhere(key)
        if home is not None:
            self._doubted_until[home] = self._now() + _DOUBT_S
