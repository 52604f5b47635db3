"""The way between a process and its servers: slow, unreliable, and cut by a kill or a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar, cast

from abbotik_room_worker.ports import UnavailableError
from tests.simulation.process import Process

T = TypeVar("T")
Serve = Callable[[], Coroutine[Any, Any, T]]


@dataclass(frozen=True, slots=True)
class Weather:
    """How likely things go wrong (0 to 1), and how long a way takes at the most, in seconds.

    ``unsettled``: the store says that it does not know how an insert ends. ``interrupted``: it
    names an entry that it did not come to.
    """

    unwritten: float = 0.0
    unheard: float = 0.0
    unsettled: float = 0.0
    interrupted: float = 0.0
    lost_message: float = 0.0
    doubled_message: float = 0.0
    way_s: float = 0.02
    late_s: float = 9.0


FAIR = Weather()
FOUL = Weather(
    unwritten=0.04,
    unheard=0.04,
    unsettled=0.04,
    interrupted=0.02,
    lost_message=0.1,
    doubled_message=0.1,
)


class Machine(Process):
    """Where one process runs, and how it reaches its servers.

    A call of a server goes on its way by itself: what was sent arrives, although its sender is
    dead or paused by then.
    """

    def __init__(self, random: Random, weather: Weather = FOUL) -> None:
        super().__init__()
        self.weather = weather
        self.random = random

    async def awake(self) -> None:
        """Return, unless the machine is dead."""
        if self.dead:
            await self.loop.create_future()

    async def call(
        self, serve: Serve[T], failure: Callable[[str], Exception] = UnavailableError
    ) -> T:
        """Ask a server. Raises the failure: not done, done and not heard of, or done much later."""
        await self.awake()
        weather, random = self.weather, self.random
        fate = random.random()
        there_s, back_s = random.uniform(0, weather.way_s), random.uniform(0, weather.way_s)
        answer: asyncio.Future[T] = self.loop.create_future()
        if fate < weather.unwritten:
            self.loop.call_later(there_s, _fail, answer, failure("it was not done"))
        elif fate < weather.unwritten + weather.unheard:
            if random.random() < 0.5:
                there_s = random.uniform(0, weather.late_s)
            self.loop.call_later(there_s, _serve, serve)
            self.loop.call_later(back_s, _fail, answer, failure("nobody knows if it was done"))
        else:
            self.loop.call_later(there_s, self._arrive, serve, answer, back_s)
        return await answer

    async def tell(self, deliver: Callable[[], None]) -> None:
        """Send a message that nobody answers: it is lost, or arrives, perhaps twice."""
        await self.awake()
        if self.random.random() < self.weather.lost_message:
            return
        twice = self.random.random() < self.weather.doubled_message
        for _ in range(2 if twice else 1):
            self.loop.call_later(self.random.uniform(0, self.weather.way_s), deliver)

    def _arrive(self, serve: Serve[T], answer: asyncio.Future[T], back_s: float) -> None:
        served = _serve(serve)
        if isinstance(served, Exception):
            self.loop.call_later(back_s, _fail, answer, served)
        else:
            self.loop.call_later(back_s, _succeed, answer, served)


def _serve(serve: Serve[T]) -> T | Exception:
    """Have a server do something, whatever becomes of who asked for it."""
    # A server in memory only yields (`sleep(0)`) and never waits, so it is run through at once and
    # without a task: most of a life is made of these calls.
    steps = serve()
    try:
        while steps.send(None) is None:
            pass
    except StopIteration as done:
        return cast("T", done.value)
    except Exception as error:  # noqa: BLE001  it is for the caller, whatever it is
        return error
    raise AssertionError("a server in memory waits")


def _succeed(answer: asyncio.Future[T], value: T) -> None:
    if not answer.done():
        answer.set_result(value)


def _fail(answer: asyncio.Future[T], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
