"""Turns per second with 64 messages in flight over 256 rooms, each of which is followed.

64 connections take the next free room each, post, and wait until that room's follower saw the end
of the turn.
"""

import asyncio
from collections import deque
from functools import partial
from itertools import repeat
from time import perf_counter

import uvloop

from bench.product.rooms import TURN_END, arguments, events, going_on, message, rent
from bench.samples import Finding, report
from bench.wire import Caller, Follower, Target, stand_back

ROOMS = 256
IN_FLIGHT = 64


class Load:
    """The rooms, who waits for which of them, and the samples (seconds)."""

    def __init__(self, target: Target) -> None:
        self.accepted: list[float] = []
        self.visible: list[float] = []
        self._target = target
        self._free: deque[tuple[int, bytes]] = deque()
        self._ends: list[asyncio.Future[float] | None] = [None] * ROOMS

    async def connect(self) -> None:
        """Rent and follow all rooms."""
        rooms = await rent(self._target, ROOMS)
        for number, room in enumerate(rooms):
            await Follower.connect(self._target, events(room), partial(self._frames, number))
            self._free.append((number, message(self._target, room)))

    def _frames(self, number: int, block: bytes, at: float) -> None:
        waiting = self._ends[number]
        if waiting is not None and TURN_END in block:
            self._ends[number] = None
            waiting.set_result(at)

    async def run(self, turns: int) -> float:
        """Run `turns` turns and return the seconds that they took together."""
        work = iter(repeat(None, turns))
        callers = [await Caller.connect(self._target) for _ in range(IN_FLIGHT)]
        started = perf_counter()
        await going_on(
            asyncio.gather(*(self._client(caller, work) for caller in callers)),
            self.visible,
        )
        took = perf_counter() - started
        for caller in callers:
            caller.close()
        return took

    async def _client(self, caller: Caller, work: "repeat[None]") -> None:
        loop = asyncio.get_running_loop()
        for _ in work:
            number, request = self._free.popleft()
            ended = self._ends[number] = loop.create_future()
            started = perf_counter()
            answer = await caller.send(request)
            answer.expect(202)
            self.visible.append(await ended - started)
            self.accepted.append(answer.at - started)
            self._free.append((number, request))


async def measure(target: Target, turns: int) -> None:
    """Run every room once, then take the samples and print them."""
    load = Load(target)
    await load.connect()
    await load.run(ROOMS)
    load.accepted.clear()
    load.visible.clear()
    took = await load.run(turns)
    report(
        Finding.of("turns", load.visible, took),
        Finding.of("turns accepted", load.accepted, took),
    )


if __name__ == "__main__":
    given = arguments(__doc__, 12_000)
    stand_back()
    uvloop.run(measure(Target(given.port, given.token), given.count))
