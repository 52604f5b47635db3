"""Where a room's commands are decided best: at the worker that has its newest copy in memory."""

from __future__ import annotations

from collections.abc import Callable

from abbotik_room_worker.domain.home import home_of
from abbotik_room_worker.ports import RoomKey, Sessions


class Homes:
    """The live workers, who share the rooms among them.

    A worker that has not seen a room's newest entry loses a race first and reads the log then,
    which is more than twice the work of a turn. So each room has a home, on which all agree, and
    its commands are passed on to there. That is no lock: any worker may decide any command, the
    log decides between them. ``runs`` says whether a room's turn runs here.
    """

    def __init__(self, session: str, sessions: Sessions, runs: Callable[[RoomKey], bool]) -> None:
        self.session = session
        self._sessions = sessions
        self._runs = runs
        self._live: tuple[str, ...] = (session,)

    async def look(self) -> None:
        """See who is there. Raises UnavailableError."""
        self._live = tuple(sorted([self.session, *await self._sessions.others()]))

    def elsewhere(self, key: RoomKey) -> str | None:
        """Return the session at which the room is at home; None where it is best decided here."""
        if len(self._live) == 1 or self._runs(key):
            return None
        home = home_of(key[1], self._live)
        return None if home == self.session else home
