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
    """It can be killed and stopped, at once or at a step; everything that runs in it is.

    ``befallen`` says that it came to the step at which something was to happen to it, ``stopped``
    that it stood still.
    """

    def __init__(self) -> None:
        self.dead = False
        self.steps = 0
        self.befallen = False
        self.stopped = False
        self.ended = asyncio.Event()
        # Asking for the loop is a system call each time.
        self.loop = asyncio.get_running_loop()
        # Dictionaries, as the order in which they end or go on has to be the same each time.
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._waiting: dict[asyncio.Future[None], None] | None = None
        self._at: tuple[int, Callable[[], None]] | None = None

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something in this process."""
        context = copy_context()
        context.run(_HERE.set, self)
        return self.loop.create_task(work, context=context)

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

    def stand_still(self, for_s: float) -> None:
        """Stop for so many seconds, as by SIGSTOP: no task takes another step until then."""
        self.stopped = True
        if self._waiting is None:
            self._waiting = {}
        self.loop.call_later(for_s, self.go_on)

    def go_on(self) -> None:
        """Run again."""
        waiting, self._waiting = self._waiting or {}, None
        for one in waiting:
            if not one.done():
                one.set_result(None)

    def befall(self, steps: int, what: Callable[[], None]) -> None:
        """Have something happen to it so many steps from now, instead of that step."""
        self._at = (self.steps + steps, what)

    def spare(self) -> None:
        """Let nothing happen to it any more."""
        self._at = None
        self.go_on()

    def step(self) -> None:
        """Count a step, and have happen what is to happen at it."""
        self.steps += 1
        if self._at is not None and self._at[0] == self.steps and not self.dead:
            self.befallen = True
            self._at[1]()

    def wait(self) -> asyncio.Future[None] | None:
        """Return what to wait for before the next step; None where it runs."""
        if self._waiting is None or self.dead:
            return None
        waiting = self.loop.create_future()
        self._waiting[waiting] = None
        return waiting

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
    """A coroutine whose steps are counted, and put off while its process is stopped."""

    def __init__(self, work: Coroutine[Any, Any, T], process: Process) -> None:
        self._work = work
        self._process = process
        self._error: tuple[Any, ...] = ()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._work.__await__()

    def send(self, _value: Any) -> Any:
        """Take a step; a task is sent nothing but None."""
        self._process.step()
        waiting = self._process.wait()
        if waiting is not None:
            # What a future does when it is awaited.
            waiting._asyncio_future_blocking = True
            return waiting
        if self._process.dead and not self._error:
            self._error = (asyncio.CancelledError(),)
        if self._error:
            error, self._error = self._error, ()
            return self._work.throw(*error)
        return self._work.send(None)

    def throw(self, *error: Any) -> Any:
        """Take a step that begins with an error."""
        self._error = error
        return self.send(None)

    def close(self) -> None:
        """End without another step."""
        self._work.close()

    @property
    def dead(self) -> bool:
        """Whether its process is."""
        return self._process.dead


def is_of_the_dead(task: object) -> bool:
    """Say whether a task is one of a process that was killed."""
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    return isinstance(coroutine, _Stepped) and coroutine.dead


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
