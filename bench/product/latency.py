"""One client: a message until it is accepted, and until its answer is seen on the event stream.

The client posts the next message when it saw the end of the turn before. Both times begin before
the POST is written; the second one ends when a follower of the room has the `actor:turn_end` of
that message, which stands behind its `actor:output`.
"""

import asyncio
import json
from time import perf_counter
from typing import Self

import uvloop

from bench.product.rooms import COMPLETED, ENDED, arguments, events, message, rent, soon
from bench.samples import Finding, report
from bench.wire import Caller, Follower, Target, stand_back

WARM_UP = 100


class Alone:
    """One client of one room, which follows it too."""

    def __init__(self, target: Target, room: str, caller: Caller) -> None:
        self._request = message(target, room)
        self._caller = caller
        self._ends: asyncio.Queue[tuple[bytes, float]] = asyncio.Queue()
        self._follower: Follower | None = None

    @classmethod
    async def connect(cls, target: Target, room: str, after: int = 0) -> Self:
        """Follow the room behind a position."""
        alone = cls(target, room, await Caller.connect(target))
        path = f"{events(room)}?after={after}"
        alone._follower = await Follower.connect(target, path, alone._frames)
        return alone

    async def post(self) -> tuple[float, float]:
        """Post a message; return the seconds until it was accepted, and until its end was seen."""
        started = perf_counter()
        answer = await soon(self._caller.send(self._request), "answer to a POST")
        lost = self._follower.lost if self._follower is not None else None
        message_id, seen = await soon(self._ends.get(), f"actor:turn_end ({lost})")
        posted = json.loads(answer.expect(202))["data"]["id"]
        if posted.encode() != message_id:
            raise RuntimeError(f"posted {posted}, but the turn of {message_id!r} ended")
        return answer.at - started, seen - started

    def close(self) -> None:
        """Close both connections."""
        self._caller.close()
        if self._follower is not None:
            self._follower.close()

    def _frames(self, block: bytes, at: float) -> None:
        found = ENDED.search(block)
        if found is None:
            return
        if not COMPLETED.search(block):
            raise RuntimeError(f"a turn did not complete: {block[-600:]!r}")
        self._ends.put_nowait((found[1], at))


async def measure(target: Target, count: int) -> None:
    """Take `count` samples of both and print them."""
    (room,) = await rent(target)
    alone = await Alone.connect(target, room)
    samples = [await alone.post() for _ in range(count + WARM_UP)][WARM_UP:]
    alone.close()
    report(
        Finding.of("accept", [accepted for accepted, _ in samples]),
        Finding.of("visible", [visible for _, visible in samples]),
    )


if __name__ == "__main__":
    given = arguments(__doc__, 3000)
    stand_back()
    uvloop.run(measure(Target(given.port, given.token), given.count))
