"""Fan-out of one room to 500 followers.

First one message at a time: from before its POST until all followers have its `message:queued`, and
until all have its `actor:turn_end`. Then 4 messages under way at once, as in floor S: event frames
(those with an id) that arrive at all followers together, per second.
"""

import asyncio
from time import perf_counter

import uvloop

from bench.crowd import Crowd
from bench.product.rooms import arguments, events, message, rent, soon
from bench.samples import Finding, report
from bench.wire import Caller, Target, stand_back

FOLLOWERS = 500
IN_FLIGHT = 4
WARM_UP = 5
QUEUED, ENDED = b"message:queued", b"actor:turn_end"


async def one_by_one(crowd: Crowd, caller: Caller, request: bytes, count: int) -> list[Finding]:
    """Post the next message when everybody has the end of the turn before."""
    arrived: asyncio.Queue[tuple[bytes, float]] = asyncio.Queue()
    crowd.on_all = lambda name, at: arrived.put_nowait((name, at))
    seconds: dict[bytes, list[float]] = {QUEUED: [], ENDED: []}
    for _ in range(count + WARM_UP):
        started, name = perf_counter(), b""
        (await soon(caller.send(request), "answer to a POST")).expect(202)
        while name != ENDED:
            name, at = await soon(arrived.get(), "event at all followers")
            seconds[name].append(at - started)
    return [
        Finding.of("fan-out event", seconds[QUEUED][WARM_UP:]),
        Finding.of("fan-out answer", seconds[ENDED][WARM_UP:]),
    ]


async def saturated(crowd: Crowd, callers: list[Caller], request: bytes, count: int) -> Finding:
    """Keep IN_FLIGHT messages under way, counted until everybody has the end of their turn."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    def on_all(name: bytes, _at: float) -> None:
        if name == ENDED:
            slots.release()

    crowd.on_all = on_all
    before, reads, started = crowd.deliveries, crowd.reads, perf_counter()
    for number in range(count + IN_FLIGHT):
        await soon(slots.acquire(), "turn that ended at all followers")
        if number < count:
            sent = callers[number % IN_FLIGHT].send(request)
            (await soon(sent, "answer to a POST")).expect(202)
    took = perf_counter() - started
    delivered = crowd.deliveries - before
    return Finding(
        "fan-out",
        count=delivered,
        per_s=delivered / took,
        value=delivered / (crowd.reads - reads),
    )


async def measure(target: Target, count: int) -> None:
    """Measure both on one room and print."""
    (room,) = await rent(target)
    crowd = Crowd(FOLLOWERS, frozenset([QUEUED, ENDED]))
    await crowd.connect(target, events(room))
    callers = [await Caller.connect(target) for _ in range(IN_FLIGHT)]
    request = message(target, room)
    findings = await one_by_one(crowd, callers[0], request, count)
    findings.append(await saturated(crowd, callers, request, count * 2))
    crowd.check()
    report(*findings)
    crowd.close()
    for caller in callers:
        caller.close()


if __name__ == "__main__":
    given = arguments(__doc__, 200)
    stand_back()
    uvloop.run(measure(Target(given.port, given.token), given.count))
