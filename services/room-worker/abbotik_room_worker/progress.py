"""Up to which counter this process's commits are projected and published."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from abbotik_room_worker.ports import RoomKey


class Progress:
    """The counters that are handed out and not settled; what lies below all of them is done.

    ``now`` returns seconds.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._open: set[int] = set()
        # When each was opened, the oldest first; without those of which nobody knows.
        self._since: dict[int, float] = {}
        self._doubts: dict[RoomKey, dict[int, int]] = {}
        self._highest = 0

    def opened(self, counter: int) -> None:
        """Note an entry that is about to be appended."""
        self._open.add(counter)
        self._since[counter] = self._now()
        self._highest = max(self._highest, counter)

    def settled(self, counter: int) -> None:
        """Note that the entry is projected and published, or that it is not in the log."""
        self._open.discard(counter)
        self._since.pop(counter, None)

    def doubted(self, key: RoomKey, rev: int, counter: int) -> None:
        """Note that nobody knows whether the entry is in the log, and when it may come to be."""
        self._doubts.setdefault(key, {})[counter] = rev
        self._since.pop(counter, None)

    def reached(self, key: RoomKey, rev: int) -> None:
        """Note that a room is projected up to a rev; what was in doubt up to there is settled."""
        doubts = self._doubts.pop(key, None)
        for counter, doubtful in (doubts or {}).items():
            if doubtful <= rev:
                self.settled(counter)
            else:
                self.doubted(key, doubtful, counter)

    @property
    def age_s(self) -> float:
        """Return for how long the oldest entry is owed, 0 where none is."""
        oldest = next(iter(self._since.values()), None)
        return 0.0 if oldest is None else self._now() - oldest

    @property
    def through(self) -> int:
        """Return the counter up to which nothing is owed."""
        return min(self._open, default=self._highest + 1) - 1
