"""Ties a process to the life of its parent, also when the parent is killed with signal 9.

Run as a script in front of another program it costs one bare interpreter start (about 15 ms):
`python -I -S tether.py <pid of the parent> <policy> <program> [argument ...]`. Linux only. The
kernel counts the *thread* that started the child as its parent, so start children from a thread
that lives as long as they do.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

PR_SET_PDEATHSIG = 1
AS_IT_IS, BATCH = "as-it-is", "batch"


def tie(parent: int, number: signal.Signals) -> bool:
    """Ask the kernel to send `number` to this process when its parent ends.

    False when `parent` was gone already: the request came too late and nothing will be sent.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    return os.getppid() == parent


def command(argv: Sequence[str], *, batch: bool = False) -> list[str]:
    """Return the command that runs `argv` as a child that is killed when this process ends.

    A ``batch`` child never takes a processor from who runs: when it is woken it waits for one.
    """
    policy = BATCH if batch else AS_IT_IS
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), policy, *argv]


def main(argv: Sequence[str]) -> None:
    """Tie this process to the parent named by the first argument and become the program."""
    parent, policy, *program = argv
    if not tie(int(parent), signal.SIGKILL):
        sys.exit(1)
    if policy == BATCH:
        # A container may forbid it; the program runs as well without.
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming the given program is the purpose
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
