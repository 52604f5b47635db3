"""Time as a port: milliseconds since the epoch, and its wire form."""

from __future__ import annotations

import time
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


@lru_cache(maxsize=256)  # the events of a commit share their time
def rfc3339(at_ms: int) -> str:
    """Write a time as RFC 3339 in UTC with milliseconds: ``2026-01-31T09:30:00.123Z``."""
    second, milli = divmod(at_ms, 1000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{milli:03d}Z"
