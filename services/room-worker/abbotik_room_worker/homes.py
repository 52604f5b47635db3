"""Where a room's commands are decided best: at the worker that has its newest copy in memory."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from abbotik_room_worker.domain.home import home_of
from abbotik_room_worker.ports import RoomKey

# How often workers say that they are there, and after how long a silent one is none any more.
SAY_S = 0.2
_SILENCE_S = 0.6


class Homes:
    """The workers that are heard, who share the rooms among them; this one counts as any other.

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
        self._looked_at = now()
        self._sessions: tuple[str, ...] = (session,)

    @property
    def hears_itself(self) -> bool:
        """Say whether this worker's own word has come back lately."""
        return self.session in self._heard_at

    def heard(self, session: str) -> None:
        """Note that a worker is there."""
        is_new = session not in self._heard_at
        self._heard_at[session] = self._now()
        if is_new:
            self._share()

    def look(self) -> None:
        """Forget who has been silent for too long; every SAY_S."""
        now, before = self._now(), self._looked_at
        self._looked_at = now
        if now - before > 2 * SAY_S:
            # This process stood still: what the others said meanwhile was not read yet.
            return
        silent = [name for name, at in self._heard_at.items() if now - at >= _SILENCE_S]
        for session in silent:
            del self._heard_at[session]
        if silent:
            self._share()

    def elsewhere(self, key: RoomKey) -> str | None:
        """Return the session at which the room is at home; None where it is best decided here."""
        if self._sessions == (self.session,) or (self.hears_itself and self._runs(key)):
            return None
        home = home_of(key[1], self._sessions)
        return None if home == self.session else home

    def _share(self) -> None:
        self._sessions = tuple(sorted(self._heard_at)) or (self.session,)
