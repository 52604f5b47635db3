"""A process of the simulation: what runs in it, how many steps it took, and its end at any of them.

A step is what a task does from one `await` to the next. Each task that is begun in a process
belongs to it, also those that the product begins and keeps to itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class Process:
    """Everything that runs in it ends with `kill`, at whatever it waits for.

    ``crash_at`` is the number of the step that it does not come to any more; ``crashed`` says
    that it came to the one before.
    """

    def __init__(self) -> None:
        self.dead = False
        self.steps = 0
        self.crash_at: int | None = None
        self.crashed = False
        self.ended = asyncio.Event()
        # A dictionary, as the order in which they end has to be the same each time.
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something in this process."""
        context = copy_context()
        context.run(_HERE.set, self)
        return asyncio.get_running_loop().create_task(work, context=context)

    async def lives_through(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run something in this process and return when it is done; no if the process dies."""
        done, ended = self.spawn(work), asyncio.ensure_future(self.ended.wait())
        await asyncio.wait((done, ended), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if self.dead:
            return False
        done.result()
        return True

    def run(self, callback: Callable[[bytes], None], data: bytes) -> None:
        """Have the process hear something: what it begins about it belongs to it."""
        context = copy_context()
        context.run(_HERE.set, self)
        context.run(callback, data)

    def kill(self) -> None:
        """End at once."""
        self.dead = True
        self.ended.set()
        # SIGKILL asks nobody. What a task does about its cancellation reaches no server any more.
        for task in list(self._tasks):
            task.cancel()

    def crash_in(self, steps: int) -> None:
        """End so many steps from now."""
        self.crash_at = self.steps + steps

    def goes_on(self) -> bool:
        """Count a step; no where the process ends instead of it."""
        self.steps += 1
        if self.steps != self.crash_at or self.dead:
            return True
        self.crashed = True
        self.kill()
        return False

    def took(self, task: asyncio.Task[Any]) -> None:
        """Note a task that was begun here."""
        self._tasks[task] = None
        task.add_done_callback(self._left)
        if self.dead:
            task.cancel()

    def _left(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)


_HERE: ContextVar[Process | None] = ContextVar("process", default=None)


class _Stepped(Coroutine[Any, Any, T]):
    """A coroutine whose steps are counted."""

    def __init__(self, work: Coroutine[Any, Any, T], process: Process) -> None:
        self._work = work
        self._process = process

    def __await__(self) -> Generator[Any, Any, T]:
        return self._work.__await__()

    def send(self, value: Any) -> Any:
        """Take a step, or end where the process ends."""
        if self._process.goes_on():
            return self._work.send(value)
        return self._work.throw(asyncio.CancelledError())

    def throw(self, *error: Any) -> Any:
        """Take a step that begins with an error."""
        if self._process.goes_on():
            return self._work.throw(*error)
        return self._work.throw(asyncio.CancelledError())

    def close(self) -> None:
        """End without another step."""
        self._work.close()


def in_its_process(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, T] | Generator[Any, None, T],
    *,
    context: Context | None = None,
) -> asyncio.Task[T]:
    """Begin a task in the process that begins it, if it is one; a loop's task factory."""
    process = _HERE.get() if context is None else context.get(_HERE)
    if process is None or not isinstance(work, Coroutine):
        return asyncio.Task(work, loop=loop, context=context)
    task: asyncio.Task[T] = asyncio.Task(_Stepped(work, process), loop=loop, context=context)
    process.took(task)
    return task
