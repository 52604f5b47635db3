"""Followers that come, read and leave at random, in rooms that come and go; some never read."""

import asyncio
import json
import random
import re
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Self

from bench.product.rooms import TURN_END, events, soon
from bench.usage import Usage
from bench.wire import Caller, Follower, OnFrames, Target
from tests.eventually import eventually

ROOMS = 20
# Messages until a room is released and another one is rented in its place.
LIFE = 30
PAUSE_S = 0.5
FOLLOWERS = 60
STAY_S = 3.0
# At each gateway so many that read again when they lag, and so many that do not in time.
STALLED = 3
# For that neither the bounds of who does not read have room, nor has the kernel.
LOUD_MESSAGES = 20
# Longer than the gateway waits for a reader that takes nothing, until its next look.
NEVER_S = 13.0
LATE_S = 60.0
LOUD = b'{"content":"!size 60"}'
# A stream that was cut ends within that once it is read: what the kernel holds is still to come.
CUT_S = 20.0
LAGGED = b"\nevent: stream:lagged\n"
END = b"\nevent: stream:end\n"
ID = re.compile(rb"\nid: (\d+)\n")
BUSY = 503
MESSAGE = b'{"content":"!stream 10 one two three four five six seven eight nine ten"}'


def _messages(room: str) -> str:
    return f"/llm/room/{room}/messages"


async def _told(caller: Caller, request: bytes, status: int) -> bytes:
    """Send a request until the answer is no 503, which a busy machine gives rise to."""
    while True:
        answer = await soon(caller.send(request), "answer to a POST")
        if answer.status != BUSY:
            return answer.expect(status)
        await asyncio.sleep(PAUSE_S)


async def _follow(target: Target, path: str, frames: OnFrames) -> Follower:
    """Open a stream, again where the answer is such a 503."""
    while True:
        try:
            return await Follower.connect(target, path, frames)
        except RuntimeError as refused:
            if f"HTTP/1.1 {BUSY}" not in str(refused):
                raise
        await asyncio.sleep(PAUSE_S)


class Place:
    """A room that followers may choose: its id, and the last event that anybody saw."""

    def __init__(self, room: str) -> None:
        self.room = room
        self.head = 0


class Churn:
    """`run` does it; afterwards `faults` says what followers saw that they should not have.

    Of those who do not read `told_lagged` began to read again in time, and were told that they lag;
    `cut` did not, and found their connection closed.
    """

    def __init__(self, targets: Sequence[Target], seed: int) -> None:
        self.faults: deque[str] = deque(maxlen=20)
        self.told_lagged = 0
        self.cut = 0
        self.follows = 0
        self.events = 0
        self._rooms = 0
        self._targets = targets
        self._chance = random.Random(seed)  # noqa: S311  a seed has to give the same run again
        self._places: list[Place] = []
        self._until = 0.0

    def __str__(self) -> str:
        return (
            f"churn: {self.follows} times a follower came and left, in {self._rooms} rooms, with "
            f"{self.events} events in all; of those who did not read {self.told_lagged} were told "
            f"stream:lagged, {self.cut} were cut"
        )

    async def run(self, seconds: float, usages: Sequence[Usage]) -> None:
        """Churn for so long, and sample what the gateways use meanwhile."""
        self._until = monotonic() + seconds
        caller = await Caller.connect(self._targets[0])
        self._places = [await self._new_place(caller, self._targets[0]) for _ in range(ROOMS)]
        caller.close()
        async with asyncio.TaskGroup() as group:
            for number in range(ROOMS):
                group.create_task(self._talk(number))
            group.create_task(self._neglect())
            for number in range(FOLLOWERS):
                group.create_task(self._come_and_go(self._targets[number % len(self._targets)]))
            while monotonic() < self._until:
                for usage in usages:
                    usage.sample()
                await asyncio.sleep(1.0)

    async def _talk(self, number: int) -> None:
        """Keep one place's room streaming, and put a new room there every so often."""
        target = self._targets[number % len(self._targets)]
        caller = await Caller.connect(target)
        while monotonic() < self._until:
            room = self._places[number].room
            for _ in range(LIFE):
                await _told(caller, target.post(_messages(room), MESSAGE), 202)
                await asyncio.sleep(PAUSE_S)
            await _told(caller, target.post(f"/llm/room/{room}/release", b"{}"), 200)
            self._places[number] = await self._new_place(caller, target)
        caller.close()

    async def _come_and_go(self, target: Target) -> None:
        """Follow a room from shortly before its end for a while, again and again."""
        while monotonic() < self._until:
            place = self._chance.choice(self._places)
            # Never from its very end: a room that is just released would have no stream then.
            reader = Reader(place, max(0, place.head - self._chance.randint(1, 50)))
            path = f"{events(place.room)}?after={reader.last}"
            follower = await _follow(target, path, reader.frames)
            await asyncio.sleep(self._chance.expovariate(1 / STAY_S))
            self.follows += 1
            self.events += reader.events
            if reader.gaps:
                self.faults.append(f"room {place.room}: a follower saw {reader.gaps} gaps")
            if follower.lost and not reader.ended:
                self.faults.append(f"room {place.room}: a follower was cut: {follower.lost}")
            follower.close()

    async def _neglect(self) -> None:
        """Have followers stop reading in a room that becomes loud, again and again."""
        target = self._targets[0]
        caller = await Caller.connect(target)
        while monotonic() < self._until:
            place = await self._new_place(caller, target)
            listener = Reader(place, 0)
            follower = await _follow(target, events(place.room), listener.frames)
            unread = [
                await Unread.open(one, events(place.room))
                for one in self._targets
                for _ in range(2 * STALLED)
            ]
            for _ in range(LOUD_MESSAGES):
                await _told(caller, target.post(_messages(place.room), LOUD), 202)
            await eventually(lambda heard=listener: heard.turns >= LOUD_MESSAGES, LATE_S)  # type: ignore[misc]  # a default binds it
            await asyncio.gather(*map(self._see_end, unread[::2]))
            await asyncio.sleep(NEVER_S)
            await asyncio.gather(*map(self._see_end, unread[1::2]))
            if follower.lost or listener.gaps:
                self.faults.append(f"the loud room: {listener.gaps} gaps, {follower.lost}")
            follower.close()
        caller.close()

    async def _new_place(self, caller: Caller, target: Target) -> Place:
        self._rooms += 1
        answer = await _told(caller, target.post("/llm/room", b"{}"), 201)
        return Place(json.loads(answer)["data"]["id"])

    async def _see_end(self, unread: "Unread") -> None:
        try:
            last = await asyncio.wait_for(unread.rest(), CUT_S)
        except TimeoutError:
            self.faults.append("a reader that does not keep up was not cut")
            return
        finally:
            unread.close()
        if LAGGED in last:
            self.told_lagged += 1
        else:
            self.cut += 1


class Reader:
    """What a follower of a place sees, from behind event `last`."""

    def __init__(self, place: Place, last: int) -> None:
        self.last = last
        self.events = 0
        self.gaps = 0
        self.turns = 0
        self.ended = False
        self._place = place

    def frames(self, block: bytes, _at: float) -> None:
        """Check that each event follows the one before it."""
        for found in ID.finditer(block):
            seq = int(found[1])
            self.events += 1
            self.gaps += seq != self.last + 1
            self.last = seq
        self.turns += block.count(TURN_END)
        self.ended = self.ended or END in block
        self._place.head = max(self._place.head, self.last)


class Unread:
    """A stream of which nothing is read after its first event, until somebody does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, target: Target, path: str) -> Self:
        """Follow a room that has one event."""
        sock = socket.socket()
        # The kernel must not read in our place; in whole loopback segments so little is slow.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1_460)
        sock.setblocking(False)  # noqa: FBT003  has no name
        await asyncio.get_running_loop().sock_connect(sock, (target.host, target.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
        writer.write(f"{target.head('GET', path)}Connection: close\r\n\r\n".encode())
        await asyncio.wait_for(reader.readuntil(b"room:rented"), LATE_S)
        return cls(reader, writer)

    async def rest(self) -> bytes:
        """Return what the stream ends with, however it ends."""
        last = b""
        with suppress(ConnectionError):
            while data := await self._reader.read(65536):
                last = (last + data)[-500:]
        return last

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
