"""A hard interrupt until its `actor:turn_end` is seen, while forty turns stream.

Two gateways and two room-workers on servers of their own: messages go through the first gateway,
interrupts through the second one, so half of them are decided by a worker that does not run the
turn. One interrupt at a time; the room then gets its next message, so that forty turns stream again
when the next room is interrupted.
"""

import argparse
import asyncio
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import urlsplit

import uvloop

from bench.product.rooms import TURN_END, events, rent, soon
from bench.samples import Finding, percentile, report
from bench.wire import Caller, Follower, Target, stand_back
from tests.stack import Stack

ROOMS = 40
# A minute of words: none ends by itself.
CONTENT = "!stream 200 " + " ".join(["word"] * 300)
MESSAGE = f'{{"content":"{CONTENT}"}}'.encode()
DELTA = b"\nevent: actor:delta\n"
INTERRUPTED = re.compile(rb'\nevent: actor:turn_end\ndata: [^\n]*?"status":\s*"interrupted"')


class Room:
    """A room whose turn streams, and what is waited for in its stream."""

    def __init__(self, room: str, first: Target, second: Target) -> None:
        self.path = events(room)
        self._message = first.post(f"/llm/room/{room}/messages", MESSAGE)
        self._interrupt = second.post(f"/llm/room/{room}/interrupt", b"{}")
        self._mark = b""
        self._seen: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def frames(self, block: bytes, at: float) -> None:
        """Note when the mark came; a turn that ended otherwise is a RuntimeError."""
        if self._mark not in block or self._seen.done():
            return
        if self._mark == TURN_END and not INTERRUPTED.search(block):
            self._seen.set_exception(RuntimeError(f"not interrupted: {block[-600:]!r}"))
        else:
            self._seen.set_result(at)

    async def begin(self, caller: Caller) -> None:
        """Post a message and return when its text streams."""
        streams = self._wait_for(DELTA)
        (await soon(caller.send(self._message), "answer to a POST")).expect(202)
        await soon(streams, "actor:delta")

    async def interrupt(self, caller: Caller) -> float:
        """Interrupt the turn and return the seconds until its end was seen."""
        ended, started = self._wait_for(TURN_END), perf_counter()
        (await soon(caller.send(self._interrupt), "answer to an interrupt")).expect(202)
        return await soon(ended, "actor:turn_end") - started

    def _wait_for(self, mark: bytes) -> asyncio.Future[float]:
        self._mark, self._seen = mark, asyncio.get_running_loop().create_future()
        return self._seen


async def measure(first: Target, second: Target, count: int) -> None:
    """Take `count` samples and print them; p95 is the value."""
    rooms = [Room(room, first, second) for room in await rent(first, ROOMS)]
    posting, interrupting = await Caller.connect(first), await Caller.connect(second)
    followers = [await Follower.connect(first, one.path, one.frames) for one in rooms]
    for room in rooms:
        await room.begin(posting)
    seconds = []
    for number in range(count + ROOMS):
        room = rooms[number % ROOMS]
        seconds.append(await room.interrupt(interrupting))
        await room.begin(posting)
    found = Finding.of("interrupt", seconds[ROOMS:])
    report(replace(found, value=percentile(sorted(seconds[ROOMS:]), 0.95) * 1000))
    for follower in followers:
        follower.close()
    posting.close()
    interrupting.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400)
    given = parser.parse_args()
    with (
        TemporaryDirectory(prefix="abbotik-bench-") as folder,
        Stack(Path(folder), gateways=2, room_workers=2) as stack,
    ):
        stand_back()
        first, second = (Target(urlsplit(url).port or 0, stack.token) for url in stack.urls)
        uvloop.run(measure(first, second, given.count))
