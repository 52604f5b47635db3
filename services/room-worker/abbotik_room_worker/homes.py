"""Where a room's commands are decided best: at the worker that has its newest copy in memory."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from abbotik_room_worker.domain.home import home_of
from abbotik_room_worker.ports import RoomKey

# How often workers say that they are there, and after how long a silent one is none any more.
SAY_S = 0.25
_SILENCE_S = 1.0


class Homes:
    """The workers that are heard of, who share the rooms among them.

    A worker that has not seen a room's newest entry loses a race first and reads the log then,
    which is more than twice the work of a turn. So each room has a home, on which all agree, and
    its commands are passed on to there. That is no lock: any worker may decide any command, the
    log decides between them. ``runs`` says whether a room's turn runs here, ``now`` the time in
    seconds.
    """

    def __init__(
        self,
        session: str,
        runs: Callable[[RoomKey], bool],
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.session = session
        self._runs = runs
        self._now = now
        self._heard_at: dict[str, float] = {}
        self._sessions: tuple[str, ...] = (session,)

    def heard(self, session: str) -> None:
        """Note that a worker is there."""
        self._heard_at[session] = self._now()
        if session not in self._sessions:
            self._share()

    def look(self) -> None:
        """Forget who has been silent for too long."""
        since = self._now() - _SILENCE_S
        silent = [session for session, at in self._heard_at.items() if at <= since]
        for session in silent:
            del self._heard_at[session]
        if silent:
            self._share()

    def elsewhere(self, key: RoomKey) -> str | None:
        """Return the session at which the room is at home; None where it is best decided here."""
        if len(self._sessions) == 1 or self._runs(key):
            return None
        home = home_of(key[1], self._sessions)
        return None if home == self.session else home

    def _share(self) -> None:
        self._sessions = tuple(sorted({self.session, *self._heard_at}))
