"""A room with many events: how long its last ones take to read, and what a turn costs in it.

It is filled over the API, with some messages in flight. Then one client posts to it and to a new
room by turns; last the newest 100 events are read, again and again.
"""

import asyncio
import json
from time import perf_counter

import uvloop

from bench.product.latency import Alone
from bench.product.rooms import TURN_END, arguments, events, message, rent, soon
from bench.samples import Finding, report
from bench.wire import Caller, Follower, Target, stand_back

# Below the queue of a room.
IN_FLIGHT = 32
ROUNDS = 2_000
LAST = 100


async def last_events(caller: Caller, target: Target, room: str, last: int) -> float:
    """Read the last events, of which ``last`` is the newest; return the seconds that it took."""
    path = f"{events(room)}?format=json&after={last - LAST}&limit={LAST}"
    started = perf_counter()
    answer = await soon(caller.send(target.get(path)), "page of events")
    found = [event["seq"] for event in json.loads(answer.expect(200))["data"]]
    if found != [*range(last - LAST + 1, last + 1)]:
        raise RuntimeError(f"in place of the last {LAST} of {last} events came {found}")
    return answer.at - started


async def newest(caller: Caller, target: Target, room: str) -> int:
    """Return the seq of the room's newest event."""
    answer = await soon(caller.send(target.get(f"/llm/room/{room}")), "room")
    last: int = json.loads(answer.expect(200))["data"]["last_event_seq"]
    return last


async def fill(target: Target, room: str, wanted: int) -> None:
    """Post messages, a few in flight, until the room has so many events."""
    places, seen = asyncio.Semaphore(IN_FLIGHT), 0

    def frames(block: bytes, _at: float) -> None:
        nonlocal seen
        seen += block.count(b"\nid: ")
        for _ in range(block.count(TURN_END)):
            places.release()

    follower = await Follower.connect(target, events(room), frames)
    caller, request = await Caller.connect(target), message(target, room)
    while seen < wanted:
        await soon(places.acquire(), f"end of a turn ({follower.lost})")
        (await soon(caller.send(request), "answer to a POST")).expect(202)
    # The room rests again.
    for _ in range(IN_FLIGHT):
        await soon(places.acquire(), f"end of a turn ({follower.lost})")
    caller.close()
    follower.close()


async def measure(target: Target, wanted: int) -> None:
    """Fill a room, compare it with a new one, and print."""
    long, new = await rent(target, 2)
    await fill(target, long, wanted)
    caller = await Caller.connect(target)
    seq = await newest(caller, target, long)
    in_long, in_new = await Alone.connect(target, long, seq), await Alone.connect(target, new)
    turns: dict[str, list[float]] = {"long room": [], "new room": []}
    for _ in range(ROUNDS):
        turns["long room"].append((await in_long.post())[1])
        turns["new room"].append((await in_new.post())[1])
    seq = await newest(caller, target, long)
    reads = [await last_events(caller, target, long, seq) for _ in range(ROUNDS)]
    report(
        Finding.of("last 100", reads),
        *(Finding.of(name, seconds) for name, seconds in turns.items()),
        Finding("long room events", value=seq),
    )


if __name__ == "__main__":
    given = arguments(__doc__, 100_000)
    stand_back()
    uvloop.run(measure(Target(given.port, given.token), given.count))
