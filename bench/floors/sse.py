"""Floor S: one event to 500 SSE followers in one process, raw ASGI, queued events in one send."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import uvloop

from bench.children import asgi
from bench.crowd import Crowd
from bench.samples import Finding, report
from bench.wire import Caller, Target, stand_back

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

DATA = b'{"id":"01927d3e-8c1b-7a53-9b1f-0","event_type":"actor:turn_end","p":"' + b"x" * 400 + b'"}'


class Queue:
    """What one follower was not sent yet."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._waiting: asyncio.Future[None] | None = None

    def put(self, frame: bytes) -> None:
        """Add a frame and wake the follower."""
        self.frames.append(frame)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def take(self) -> bytes:
        """Wait for frames and return all of them joined."""
        if not self.frames:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        frames, self.frames = self.frames, []
        return frames[0] if len(frames) == 1 else b"".join(frames)


class Hub:
    """All followers of the one stream, and how many events it had."""

    def __init__(self) -> None:
        self.queues: list[Queue] = []
        self.seq = 0

    def publish(self) -> None:
        """Encode one event once and queue it for everybody."""
        self.seq += 1
        frame = b"id: %d\nevent: actor:turn_end\ndata: %b\n\n" % (self.seq, DATA)
        for queue in self.queues:
            queue.put(frame)


HUB = Hub()


async def follow(send: Send) -> None:
    """Send a follower what queued up, for ever."""
    queue = Queue()
    HUB.queues.append(queue)
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
    while True:
        await send({"type": "http.response.body", "body": await queue.take(), "more_body": True})


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """GET follows, POST publishes one event."""
    if scope["method"] == "GET":
        await follow(send)
        return
    await receive()
    HUB.publish()
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def measure(port: int, events: int, followers: int, publishers: int) -> None:
    """Publish from some connections, as many events under way as there are publishers; print.

    The figure grows with the number under way, because queued events share a send, so the
    product's test (`bench/product/fanout.py`) has as many messages under way as this one.
    """
    target, crowd = Target(port), Crowd(followers, frozenset([b"actor:turn_end"]))
    await crowd.connect(target, "/")
    callers = [await Caller.connect(target) for _ in range(publishers)]
    request, slots = target.post("/", b"{}"), asyncio.Semaphore(publishers)
    crowd.on_all = lambda _name, _at: slots.release()
    work = iter(repeat(None, events))

    async def publish(caller: Caller) -> None:
        for _ in work:
            await slots.acquire()
            await caller.send(request)

    async with asyncio.timeout(120):
        started = perf_counter()
        await asyncio.gather(*map(publish, callers))
        for _ in range(publishers):
            await slots.acquire()
        took = perf_counter() - started
    crowd.check()
    report(Finding("S", count=crowd.deliveries, per_s=crowd.deliveries / took))
    crowd.close()
    for caller in callers:
        caller.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--followers", type=int, default=500)
    parser.add_argument("--publishers", type=int, default=4)
    arguments = parser.parse_args()
    with (
        TemporaryDirectory() as home,
        asgi("bench.floors.sse:app", Path(home) / "uvicorn.log") as port,
    ):
        stand_back()
        uvloop.run(measure(port, arguments.count, arguments.followers, arguments.publishers))
