"""Time as a port: milliseconds since the epoch, and its wire form."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """Tells the time. Production reads the system's; tests and the fault suite shift it."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970, UTC."""
        ...


class SystemClock:
    """The machine's clock, moved by ``shift_ms`` where a test asks for a wrong one."""

    def __init__(self, shift_ms: int = 0) -> None:
        self._shift_ms = shift_ms

    def now_ms(self) -> int:
        """Return milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000 + self._shift_ms


@lru_cache(maxsize=256)  # the events of one commit are of the same moment
def rfc3339(at_ms: int) -> str:
    """Write a time as RFC 3339 in UTC with milliseconds: ``2026-01-31T09:30:00.123Z``."""
    second, milli = divmod(at_ms, 1000)
    return f"{_to_the_second(second)}.{milli:03d}Z"


def elapsed_s() -> float:
    """Return seconds that pass whatever the clock is set to, also while the machine sleeps.

    To the others, whose time went on, a process of such a machine was away.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class CorrectedClock:
    """The time of another machine: the seconds that elapse and what they are off by, as last heard.

    All that share that machine agree on the time, however wrong their own clocks are and whoever
    sets those meanwhile. Before the first answer it is the time of the ``local`` clock.
    ``elapsed`` returns seconds.
    """

    def __init__(self, local: Clock, elapsed: Callable[[], float] = elapsed_s) -> None:
        self._local = local
        self._elapsed = elapsed
        self._off_ms = local.now_ms() - self.passed_ms()
        self._heard = False

    def now_ms(self) -> int:
        """Return milliseconds since 1970, UTC."""
        return self.passed_ms() + self._off_ms

    def passed_ms(self) -> int:
        """Return the milliseconds that have elapsed, to note when the other one was asked."""
        return int(self._elapsed() * 1000)

    @property
    def ahead_ms(self) -> int:
        """How far the local clock is ahead of the other machine's, as last heard; 0 before."""
        return self._local.now_ms() - self.now_ms() if self._heard else 0

    def correct(self, heard_ms: int, asked_ms: int) -> None:
        """Take the other's time, as it was somewhere between asking and now.

        ``asked_ms`` is what had passed when it was asked. What is known already is only put right
        where the answer contradicts it: one that took seconds, as it does for a process that stood
        still, says less than the one before.
        """
        passed = self.passed_ms()
        earliest, latest = heard_ms, heard_ms + passed - asked_ms
        known = passed + self._off_ms if self._heard else (earliest + latest) // 2
        self._off_ms = max(earliest, min(known, latest)) - passed
        self._heard = True


@lru_cache(maxsize=256)  # most of what is written at one moment is of the same second
def _to_the_second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()[:19]
