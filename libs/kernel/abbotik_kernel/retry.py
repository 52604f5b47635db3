"""Delays between tries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays in seconds: ``first``, then ``factor`` times more, at most ``ceiling``."""

    first: float = 0.1
    factor: float = 2.0
    ceiling: float = 5.0

    def delay(self, attempt: int) -> float:
        """Return the pause after the given try; the first try is 0."""
        return min(self.ceiling, self.first * self.factor ** min(attempt, 32))
