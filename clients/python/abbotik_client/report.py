"""What a check of a room's log came to."""

from __future__ import annotations

from dataclasses import dataclass

from abbotik_kernel.chain import Mark


@dataclass(frozen=True, slots=True)
class LogReport:
    """``faults`` are sentences, each about one place; ``end`` is the last event that was read.

    The chain alone does not show that a log was cut off at its end, or made anew as a whole. Keep
    ``end`` where nobody else can change it: given as ``expected`` next time, it does.
    """

    faults: tuple[str, ...]
    end: Mark

    @property
    def sound(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.faults
