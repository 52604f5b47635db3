"""The load of one cell: rooms, writers that post into them, a follower for each room.

Writers post with a key each, and send the same again for as long as the outcome is open. A room
takes so many messages at a time, so the load is as fast as the stack and no faster.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress

import httpx

from tests.faults.follower import AGAIN_S, GIVE_UP_S, Follower
from tests.faults.history import Call, Fault, History, Record, Sightings
from tests.faults.stored import Stored

ROOMS = 30
WRITERS = 8
OPEN_PER_ROOM = 2
# How many posts all writers make together once the fault is over.
LAST_POSTS = 40
# The share of posts after which whatever runs in the room is interrupted.
INTERRUPTED = 0.1
PATIENCE_S = 45.0
# The refusals that ask for the same request again.
OPEN = ("COMMAND_UNCONFIRMED", "SERVICE_UNAVAILABLE", "IDEMPOTENCY_IN_PROGRESS")


class Load:
    """Runs against gateways, given as base URLs by name; ``calls`` and ``sightings`` are kept.

    ``seed`` decides who posts what and where. Writers post until `wind_down`, or until they have
    made that many ``posts`` together. ``events`` is how many the followers have seen in all.
    """

    def __init__(
        self,
        gateways: Mapping[str, str],
        token: str,
        seed: int,
        *,
        rooms: int = ROOMS,
        writers: int = WRITERS,
        posts: float = math.inf,
    ) -> None:
        self.calls: list[Call] = []
        self.sightings: dict[str, Sightings] = {}
        self._gateways = list(gateways.items())
        self._token = token
        self._seed = seed
        self._rooms = rooms
        self._writers_wanted = writers
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"},
            timeout=None,  # noqa: S113 - each call is bounded as a whole
            limits=httpx.Limits(max_connections=None),
        )
        self._posts_left = posts
        self._posted: dict[str, int] = {}
        self._ended: dict[str, set[str]] = {}
        self.events = 0
        self._change = asyncio.Event()
        self._writers: list[asyncio.Task[None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Rent the rooms and run writers and followers; whatever still runs is ended."""
        try:
            rooms = await asyncio.gather(*map(self._rent, range(self._rooms)))
            for room in rooms:
                self._posted[room], self._ended[room] = 0, set()
                self.sightings[room] = Sightings(room, "follower")
            followers = [
                self._follower(sightings, number)
                for number, sightings in enumerate(self.sightings.values())
            ]
            self._tasks += [asyncio.create_task(one.follow()) for one in followers]
            self._writers = [
                asyncio.create_task(self._write(one)) for one in range(self._writers_wanted)
            ]
            self._tasks += self._writers
            yield self
        finally:
            await self._end()

    async def seen(self, events: int) -> None:
        """Return once the followers have seen that many events in all; TimeoutError if never."""
        async with asyncio.timeout(PATIENCE_S):
            await self.until(lambda: self.events >= events)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds, looking after each event that a follower sees."""
        while not condition():
            await self._change.wait()

    async def history(self, fault: Fault, stored: Stored, within_s: float) -> History:
        """Settle, and return what clients were told, followers saw and the logs hold."""
        await self.settle(
            lambda: {room: len(stored.log(room).events) for room in self.sightings}, within_s
        )
        logs = [stored.log(room) for room in self.sightings]
        replays = await self.replay()
        return History(fault, self.calls, [*self.sightings.values(), *replays], logs)

    async def wind_down(self, within_s: float = 2 * PATIENCE_S) -> None:
        """Return once the last posts are made, or nobody can make them."""
        self._posts_left = min(self._posts_left, LAST_POSTS)
        await asyncio.wait(self._writers, timeout=within_s)

    async def settle(self, heads: Callable[[], Mapping[str, int]], within_s: float) -> None:
        """Return once every accepted message has ended and each follower is at the head of its log.

        Or when the time is up: then the checker says what is missing. ``heads`` reads the logs.
        """
        try:
            async with asyncio.timeout(within_s):
                await self.until(self._all_ended)
                at = await asyncio.to_thread(heads)
                await self.until(
                    lambda: all(self.sightings[room].cursor >= at[room] for room in at)
                )
        except TimeoutError:
            return

    async def replay(self) -> list[Sightings]:
        """Read every room once more from its first event, through any gateway.

        A replay that does not end is given up: what it did not show is missing.
        """
        found = []
        for number, room in enumerate(self.sightings):
            again = Sightings(room, "replay")
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._follower(again, number).read("?follow=false")
            found.append(again)
        return found

    def _follower(self, sightings: Sightings, number: int) -> Follower:
        seen = self._saw if sightings.follower == "follower" else _ignore
        return Follower(sightings, self._from(number), self._token, self.calls, seen)

    def _from(self, number: int) -> Iterator[tuple[str, str]]:
        return itertools.islice(itertools.cycle(self._gateways), number % 2, None)

    def _saw(self, event: Record) -> None:
        self.events += 1
        if event["event_type"] == "actor:turn_end":
            self._ended[event["room_id"]].add(event["payload"]["message_id"])
        # Whoever waits looks again; the next change has an event of its own.
        self._change.set()
        self._change = asyncio.Event()

    def _all_ended(self) -> bool:
        return all(
            call.message_id in self._ended[call.room] for call in self.calls if call.message_id
        )

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()
        # A fault of the load itself must not look like one of the product.
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _rent(self, number: int) -> str:
        url = self._gateways[number % len(self._gateways)][1]
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self._http.post(f"{url}/llm/room", headers=headers)
                if answer.is_success:
                    return str(answer.json()["data"]["id"])
                if answer.json()["error_code"] not in OPEN:
                    raise RuntimeError(f"no room to rent: {answer.text}")
                await asyncio.sleep(AGAIN_S)

    async def _write(self, number: int) -> None:
        chance = random.Random(f"{self._seed}:{number}")  # noqa: S311 - repeatable, no secret
        gateways = self._from(number)
        while self._posts_left > 0:
            await self.until(lambda: bool(self._free()))
            self._posts_left -= 1
            await self._post(chance.choice(self._free()), chance, gateways)

    def _free(self) -> list[str]:
        return [
            room
            for room, posted in self._posted.items()
            if posted - len(self._ended[room]) < OPEN_PER_ROOM
        ]

    async def _post(
        self, room: str, chance: random.Random, gateways: Iterator[tuple[str, str]]
    ) -> None:
        self._posted[room] += 1
        key = str(uuid.uuid4())
        # The key is part of the text, so that the log shows which key a message came from.
        words = " ".join([key, *(f"word{number}" for number in range(chance.randint(20, 60)))])
        kinds = (f"!stream 15 {words}", words, f'!tool wait {{"ms": 200}}\n!say {words}')
        (content,) = chance.choices(kinds, weights=(6, 2, 2))
        await self._insist("post", room, "messages", {"content": content}, key, gateways)
        if chance.random() < INTERRUPTED:
            again = str(uuid.uuid4())
            await self._insist("interrupt", room, "interrupt", {}, again, gateways)

    async def _insist(
        self,
        what: str,
        room: str,
        path: str,
        body: Record,
        key: str,
        gateways: Iterator[tuple[str, str]],
    ) -> None:
        """Send a request, the same again for as long as its outcome is open."""
        until = time.monotonic() + PATIENCE_S
        while True:
            call = await self._once(what, room, path, body, key, next(gateways))
            self.calls.append(call)
            if call.accepted or time.monotonic() > until or not _is_open(call):
                return
            await asyncio.sleep(AGAIN_S)

    async def _once(
        self, what: str, room: str, path: str, body: Record, key: str, gateway: tuple[str, str]
    ) -> Call:
        name, url = gateway
        began, clock = time.time(), time.monotonic()
        status, error, message = None, "", ""
        try:
            async with asyncio.timeout(GIVE_UP_S):
                answer = await self._http.post(
                    f"{url}/llm/room/{room}/{path}",
                    json=body,
                    headers={"Idempotency-Key": key},
                )
            status = answer.status_code
            if answer.is_success:
                message = answer.json()["data"].get("id", "")
            else:
                error = answer.json().get("error_code", "")
        except (TimeoutError, httpx.TransportError) as fault:
            error = type(fault).__name__
        return Call(
            what=what,
            room=room,
            gateway=name,
            began=began,
            took_s=time.monotonic() - clock,
            status=status,
            error=error,
            key=key,
            content=body.get("content", ""),
            message_id=message,
        )


def _is_open(call: Call) -> bool:
    return call.status is None or call.error in OPEN


def _ignore(_event: Record) -> None:
    """Nobody waits for what a replay shows."""
