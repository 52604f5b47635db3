"""A clock that goes when a test says so."""

from __future__ import annotations

START_MS = 1_769_851_800_000


class ManualClock:
    """Stands still until it is told how much time has passed."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Return milliseconds since 1970, UTC."""
        return self._now_ms

    def advance(self, ms: int) -> None:
        """Let that much time pass."""
        self._now_ms += ms
