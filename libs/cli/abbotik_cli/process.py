"""What the kernel says about a process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.02
STATE, STARTED = 0, 19


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was started here.

    `started` is in clock ticks since boot; with it and the command a later look can tell the
    process from another one that got the same pid.
    """

    pid: int
    started: int
    command: tuple[str, ...]

    @classmethod
    def of(cls, pid: int, command: Sequence[str]) -> Process | None:
        """Return the record of a living process, or None when there is none."""
        stat = _stat(pid)
        return None if stat is None else cls(pid, int(stat[STARTED]), tuple(command))

    def alive(self) -> bool:
        """Whether this very process still runs."""
        stat = _stat(self.pid)
        if stat is None or int(stat[STARTED]) != self.started:
            return False
        try:
            line = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False
        # Empty for a moment at the start: the kernel has yet to lay out the arguments.
        return not line or os.fsdecode(line).rstrip("\0").split("\0") == list(self.command)


def end(leftovers: Sequence[Process], within_s: float) -> list[Process]:
    """Kill these processes with all of their groups; return those that did not go in time."""
    living = [process for process in leftovers if process.alive()]
    for process in living:
        # Gone between the look and the shot.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    until = time.monotonic() + within_s
    while (living := [one for one in living if one.alive()]) and time.monotonic() < until:
        time.sleep(POLL_S)
    return living


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the state on; None for the dead and zombies."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name before the last bracket may hold spaces and brackets itself.
    fields = text.rpartition(")")[2].split()
    return None if fields[STATE] in "ZX" else fields
