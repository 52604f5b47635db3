"""What a check of a room's log came to."""

from __future__ import annotations

from dataclasses import dataclass

from abbotik_kernel.chain import Mark


@dataclass(frozen=True, slots=True)
class Verdict:
    """``faults`` are sentences, each about one place; ``end`` is the last event that was read.

    Keep ``end`` where nobody can change it: given as ``expected`` next time, it shows a log that
    was made anew as a whole.
    """

    faults: tuple[str, ...]
    end: Mark

    @property
    def sound(self) -> bool:
        """Whether the log is as it was written."""
        return not self.faults
