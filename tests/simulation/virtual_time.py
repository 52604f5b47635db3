"""An event loop whose time passes only when nothing else is left to do: minutes take no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from tests.simulation.process import in_its_process, is_of_the_dead

T = TypeVar("T")
# No life takes that long: somebody waits for ever, again and again.
_LONGEST_S = 3600.0


class NothingLeftError(AssertionError):
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


class UnheardError(Exception):
    """Something failed, and nobody heard of it: a defect, and no promise that is broken."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` begins at 0 and jumps to the next timer. Tasks belong to processes."""

    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)
        self.unheard: list[str] = []
        self.set_task_factory(in_its_process)
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._waiting.passed

    def _note(self, _loop: object, context: dict[str, Any]) -> None:
        if not is_of_the_dead(context.get("task") or context.get("future")):
            self.unheard.append(f"{context['message']}: {context.get('exception')!r}")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a loop of its own, and cancel whatever is left over.

    Raises UnheardError.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(work)
        unheard = cast("VirtualLoop", runner.get_loop()).unheard
        if unheard:
            raise UnheardError(unheard)
        return result


def now() -> float:
    """Return the virtual time, in seconds: a monotonic clock for what the product asks it."""
    return asyncio.get_running_loop().time()


async def happens(what: Callable[[], bool], within_s: float = 60.0, look_s: float = 0.1) -> None:
    """Return when it is so, or it takes too long."""
    until = now() + within_s
    while now() < until and not what():  # noqa: ASYNC110  time is virtual
        await asyncio.sleep(look_s)
