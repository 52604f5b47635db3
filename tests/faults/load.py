"""The load of one cell: rooms, writers that post into them, a follower for each room.

Writers send each request with a key, and the same again for as long as the outcome is open. A room
takes so many messages at a time, so the load is as fast as the stack and no faster. Now and then
what runs is interrupted, or the room is released and another one rented in its place.
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
# And the room is released, with whatever runs or waits in it.
RELEASED = 0.04
# Longer than most faults.
PATIENCE_S = 45.0
# The refusals that ask for the same request again.
OPEN = ("COMMAND_UNCONFIRMED", "SERVICE_UNAVAILABLE", "IDEMPOTENCY_IN_PROGRESS")


class Load:
    """Runs against gateways, given as base URLs by name; ``calls`` and ``sightings`` are kept.

    ``seed`` decides who posts what and where. Writers post until `wind_down`, or until they have
    made that many ``posts`` together. ``events`` is how many the followers have seen in all.
    ``patience_s`` has to be longer than the fault.
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
        patience_s: float = PATIENCE_S,
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
        self._patience_s = patience_s
        # By room, without those that were released.
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
            rents = [self._rent(self._from(one)) for one in range(self._rooms)]
            for rented in await asyncio.gather(*rents):
                if not rented.accepted:
                    raise RuntimeError(f"no room to rent: {rented}")
            self._writers = [
                asyncio.create_task(self._write(one)) for one in range(self._writers_wanted)
            ]
            self._tasks += self._writers
            yield self
        finally:
            await self._end()

    async def seen(self, events: int) -> None:
        """Return once the followers have seen that many events in all; TimeoutError if never."""
        async with asyncio.timeout(self._patience_s):
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

    async def wind_down(self, within_s: float | None = None) -> None:
        """Return once the last posts are made, or nobody can make them; no writer is left."""
        self._posts_left = min(self._posts_left, LAST_POSTS)
        _, late = await asyncio.wait(self._writers, timeout=within_s or 2 * self._patience_s)
        for writer in late:
            writer.cancel()
        if late:
            await asyncio.wait(late)

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
                async with asyncio.timeout(self._patience_s):
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
        if event["event_type"] in ("actor:turn_end", "message:withdrawn"):
            self._ended[event["room_id"]].add(event["payload"]["message_id"])
        # Whoever waits looks again; the next change has an event of its own.
        self._change.set()
        self._change = asyncio.Event()

    def _all_ended(self) -> bool:
        return all(
            call.told in self._ended[call.room]
            for call in self.calls
            if call.what == "post" and call.accepted
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

    async def _rent(self, gateways: Iterator[tuple[str, str]]) -> Call:
        """Rent a room and follow it; return the last try."""
        rented = await self._insist("rent", "", "", {}, str(uuid.uuid4()), gateways)
        if rented.accepted:
            room, number = rented.told, len(self.sightings)
            self._posted[room], self._ended[room] = 0, set()
            self.sightings[room] = Sightings(room, "follower")
            follower = self._follower(self.sightings[room], number)
            self._tasks.append(asyncio.create_task(follower.follow()))
        return rented

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
        await self._insist("post", room, "/messages", {"content": content}, key, gateways)
        if chance.random() < INTERRUPTED:
            again = str(uuid.uuid4())
            await self._insist("interrupt", room, "/interrupt", {}, again, gateways)
        # Another writer may have done so meanwhile.
        if chance.random() < RELEASED and self._posted.pop(room, 0):
            await self._insist("release", room, "/release", {}, str(uuid.uuid4()), gateways)
            await self._rent(gateways)

    async def _insist(
        self,
        what: str,
        room: str,
        path: str,
        body: Record,
        key: str,
        gateways: Iterator[tuple[str, str]],
    ) -> Call:
        """Send a request, the same again for as long as its outcome is open; return the last."""
        until = time.monotonic() + self._patience_s
        while True:
            call = await self._once(what, room, path, body, key, next(gateways))
            self.calls.append(call)
            if call.accepted or time.monotonic() > until or not _is_open(call):
                return call
            await asyncio.sleep(AGAIN_S)

    async def _once(
        self, what: str, room: str, path: str, body: Record, key: str, gateway: tuple[str, str]
    ) -> Call:
        name, url = gateway
        began, clock = time.time(), time.monotonic()
        status, error, told = None, "", ""
        try:
            async with asyncio.timeout(GIVE_UP_S):
                answer = await self._http.post(
                    f"{url}/llm/room{f'/{room}' if room else ''}{path}",
                    json=body,
                    headers={"Idempotency-Key": key},
                )
            status = answer.status_code
            if answer.is_success:
                told = answer.json()["data"].get("id", "")
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
            told=told,
        )


def _is_open(call: Call) -> bool:
    return call.status is None or call.error in OPEN


def _ignore(_event: Record) -> None:
    """Nobody waits for what a replay shows."""
