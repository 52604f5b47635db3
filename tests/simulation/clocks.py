"""Clocks of machines: one is ahead, one behind, and each goes at a pace of its own."""

from __future__ import annotations

from random import Random

from tests.fakes.room_worker.clock import START_MS
from tests.simulation.virtual_time import now

# How far two clocks are apart at the most, and by how much one is too fast or too slow.
_OFF_MS = 60_000
_DRIFT = 0.001


class TrueClock:
    """The time of the virtual loop: the servers' clock."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970, UTC."""
        return START_MS + int(now() * 1000)


class WrongClock:
    """A machine's own clock."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._off_ms = random.choice((-_OFF_MS, 0, _OFF_MS))
        self._pace = 1 + random.uniform(-_DRIFT, _DRIFT)

    def now_ms(self) -> int:
        """Return milliseconds since 1970, UTC, as this machine takes it to be."""
        return START_MS + self._off_ms + int(now() * 1000 * self._pace)

    def monotonic(self) -> float:
        """Return seconds since some moment; nobody sets it."""
        return now() * self._pace

    def jump(self) -> None:
        """Be set anew, by a person or by NTP: the wall clock jumps, the monotonic one does not."""
        self._off_ms += self._random.randint(-_OFF_MS, _OFF_MS)
