"""The way between a worker and its servers: slow, unreliable, and cut by a kill or a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from abbotik_room_worker.ports import UnavailableError

T = TypeVar("T")
Serve = Callable[[], Coroutine[Any, Any, T]]


@dataclass(frozen=True, slots=True)
class Weather:
    """How likely things go wrong (0 to 1), and how long a way takes at the most, in seconds."""

    unwritten: float = 0.0
    unheard: float = 0.0
    lost_message: float = 0.0
    doubled_message: float = 0.0
    way_s: float = 0.02
    late_s: float = 3.0


FAIR = Weather()
FOUL = Weather(unwritten=0.04, unheard=0.04, lost_message=0.1, doubled_message=0.1)


class Machine:
    """Where one worker runs: it can be killed, and paused for a while.

    A call of a server goes on its way by itself: what was sent arrives, although its sender is
    dead or paused by then.
    """

    def __init__(self, random: Random) -> None:
        self.weather = FOUL
        self.random = random
        self.dead = False
        self._running = asyncio.Event()
        self._running.set()

    def pause(self) -> None:
        """Stop: nothing is sent and no answer is heard until `go_on`."""
        self._running.clear()

    def go_on(self) -> None:
        """Run again."""
        self._running.set()

    async def awake(self) -> None:
        """Return while the machine runs; a dead one never does."""
        if self.dead:
            await asyncio.get_running_loop().create_future()
        await self._running.wait()

    async def call(self, serve: Serve[T]) -> T:
        """Ask a server. UnavailableError: not done, done and not heard of, or done much later."""
        await self.awake()
        weather, random = self.weather, self.random
        fate = random.random()
        unwritten = fate < weather.unwritten
        unheard = not unwritten and fate < weather.unwritten + weather.unheard
        delay = random.uniform(0, weather.way_s)
        if unwritten:
            await asyncio.sleep(delay)
            await self.awake()
            raise UnavailableError("it was not done")
        if unheard and random.random() < 0.5:
            _send(serve, random.uniform(0, weather.late_s))
            await asyncio.sleep(delay)
            await self.awake()
            raise UnavailableError("it will be done")
        answer = await _send(serve, delay)
        await asyncio.sleep(random.uniform(0, weather.way_s))
        await self.awake()
        if unheard:
            raise UnavailableError("it was done")
        return answer


def _send(serve: Serve[T], delay: float) -> asyncio.Future[T]:
    """Have a server do something after a delay, whatever becomes of who asked for it."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    loop.call_later(delay, _arrive, serve, answer)
    return answer


def _arrive(serve: Serve[T], answer: asyncio.Future[T]) -> None:
    # A server in memory only yields (`sleep(0)`) and never waits, so it is run through at once and
    # without a task: most of a life is made of these calls.
    steps = serve()
    try:
        while steps.send(None) is None:
            pass
    except StopIteration as done:
        if not answer.done():
            answer.set_result(done.value)
    except Exception as error:  # noqa: BLE001  it is for the caller, whatever it is
        if not answer.done():
            answer.set_exception(error)
    else:
        raise AssertionError("a server in memory waits")
