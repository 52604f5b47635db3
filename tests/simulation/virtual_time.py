"""An event loop whose time passes only when nothing else is left to do: minutes take no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.simulation.process import in_its_process

T = TypeVar("T")
# No life takes that long: somebody waits for ever, again and again.
_LONGEST_S = 3600.0


class NothingLeftError(RuntimeError):
    """Somebody waits, and nothing is on its way that could end the wait."""


class _Waiting(selectors.SelectSelector):
    """Has no sockets to look at: a wait lets the loop's time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time until the next timer pass."""
        if timeout is None or self.passed > _LONGEST_S:
            raise NothingLeftError
        self.passed += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` begins at 0 and jumps to the next timer. Tasks belong to processes."""

    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)
        self.set_task_factory(in_its_process)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._waiting.passed


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a loop of its own, and cancel whatever is left over."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def now() -> float:
    """Return the virtual time, in seconds: a monotonic clock for what the product asks it."""
    return asyncio.get_running_loop().time()
