"""One client: a message until it is accepted, and until its answer is seen on the event stream.

The client posts the next message when it saw the end of the turn before. Both times begin before
the POST is written; the second one ends when a follower of the room has the `actor:turn_end` of
that message, which stands behind its `actor:output`.
"""

import asyncio
import json
from time import perf_counter

import uvloop

from bench.product.rooms import COMPLETED, ENDED, arguments, events, message, rent, soon
from bench.samples import Finding, report
from bench.wire import Caller, Follower, Target, stand_back

WARM_UP = 100


async def measure(target: Target, count: int) -> None:
    """Take `count` samples of both and print them."""
    (room,) = await rent(target)
    ends: asyncio.Queue[tuple[bytes, float]] = asyncio.Queue()

    def frames(block: bytes, at: float) -> None:
        found = ENDED.search(block)
        if found is None:
            return
        if not COMPLETED.search(block):
            raise RuntimeError(f"a turn did not complete: {block[-600:]!r}")
        ends.put_nowait((found[1], at))

    follower = await Follower.connect(target, events(room), frames)
    caller, request = await Caller.connect(target), message(target, room)
    accepted, visible = [], []
    for _ in range(count + WARM_UP):
        started = perf_counter()
        answer = await soon(caller.send(request), "answer to a POST")
        message_id, seen = await soon(ends.get(), f"actor:turn_end ({follower.lost})")
        accepted.append(answer.at - started)
        visible.append(seen - started)
        posted = json.loads(answer.expect(202))["data"]["id"]
        if posted.encode() != message_id:
            raise RuntimeError(f"posted {posted}, but the turn of {message_id!r} ended")
    follower.close()
    caller.close()
    report(
        Finding.of("accept", accepted[WARM_UP:]),
        Finding.of("visible", visible[WARM_UP:]),
    )


if __name__ == "__main__":
    given = arguments(__doc__, 3000)
    stand_back()
    uvloop.run(measure(Target(given.port, given.token), given.count))
