"""The load of one cell: rooms, writers that post into them, a follower for each room.

Writers send each request with a key, and the same again for as long as the outcome is open. A room
takes so many messages at a time, so the load is as fast as the stack and no faster. Some rooms
wake by themselves, until the writers have made their last posts.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress

from tests.faults import timetable
from tests.faults.caller import Caller, Gateways, Request, patch
from tests.faults.follower import Follower
from tests.faults.history import Call, Fault, History, Record, Sightings
from tests.faults.rooms import Rooms
from tests.faults.stored import Stored
from tests.faults.writer import Writer

ROOMS = 30
WRITERS = 8
# How many posts all writers make together once the fault is over.
LAST_POSTS = 40
# Longer than most faults.
PATIENCE_S = 45.0
# Every so many rooms one has a schedule, each the next of the timetable.
SCHEDULED_EVERY = 4


class Load:
    """Runs against gateways, given as base URLs by name; ``calls`` and ``sightings`` are kept.

    ``seed`` decides who posts what and where. Writers post until `wind_down`, or until they have
    made that many ``posts`` together. ``patience_s`` has to be longer than the fault.
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
        self._gateways = list(gateways.items())
        self._token = token
        self._seed = seed
        self._rooms_wanted = rooms
        self._writers_wanted = writers
        self._posts_left = posts
        self._patience_s = patience_s
        self._caller = Caller(token, patience_s)
        self._rooms = Rooms()
        self._rented = itertools.count()
        self._writers: list[asyncio.Task[None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def calls(self) -> list[Call]:
        """Every request, and every connection of a follower."""
        return self._caller.calls

    @property
    def sightings(self) -> dict[str, Sightings]:
        """What the followers saw, by room."""
        return self._rooms.sightings

    @property
    def events(self) -> int:
        """How many events the followers have seen in all."""
        return self._rooms.events

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Rent the rooms and run writers and followers; whatever still runs is ended."""
        try:
            rents = [self._rent(self._from(one)) for one in range(self._rooms_wanted)]
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
        await self._rooms.until(condition)

    async def history(self, fault: Fault, stored: Stored, within_s: float) -> History:
        """Settle, and return what clients were told, followers saw and the logs hold."""
        await self.settle(
            lambda: {room: len(stored.log(room).events) for room in self.sightings}, within_s
        )
        logs = [stored.log(room) for room in self.sightings]
        replays = await self.replay()
        return History(fault, self.calls, [*self.sightings.values(), *replays], logs)

    async def wind_down(self, within_s: float | None = None) -> None:
        """Return once the last posts are made, or nobody can make them; no writer is left.

        No schedule either: what they do would have no end.
        """
        self._posts_left = min(self._posts_left, LAST_POSTS)
        _, late = await asyncio.wait(self._writers, timeout=within_s or 2 * self._patience_s)
        for writer in late:
            writer.cancel()
        if late:
            await asyncio.wait(late)
        living = set(self._rooms.living)
        await asyncio.gather(*(self._end_schedule(r) for r in self._rooms.scheduled if r in living))

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
                # A message whose sender was told nothing may have shown only now.
                await self.until(self._all_ended)
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
        seen = self._rooms.saw if sightings.follower == "follower" else _ignore
        return Follower(sightings, self._from(number), self._token, self.calls, seen)

    def _from(self, number: int) -> Iterator[tuple[str, str]]:
        return itertools.islice(itertools.cycle(self._gateways), number % 2, None)

    def _all_ended(self) -> bool:
        return self._rooms.all_ended(self.calls)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._caller.close()
        # A fault of the load itself must not look like one of the product.
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _rent(self, gateways: Gateways) -> Call:
        """Rent a room and follow it; return the last try."""
        place, rest = divmod(next(self._rented), SCHEDULED_EVERY)
        schedule = timetable.schedule(place % timetable.KINDS) if rest == 0 else None
        body = {"wake_policy": {"schedule": schedule}} if schedule else {}
        rented = await self._caller.insist(Request("rent", body=body), gateways)
        if rented.accepted:
            room, number = rented.told, len(self.sightings)
            follower = self._follower(self._rooms.add(room), number)
            self._tasks.append(asyncio.create_task(follower.follow()))
            self._rooms.scheduled += [room] if schedule else []
        return rented

    async def _end_schedule(self, room: str) -> None:
        request = patch(room, {"wake_policy": {"schedule": None}})
        await self._caller.insist(request, self._from(0))

    async def _write(self, number: int) -> None:
        writer = Writer(
            self._caller,
            self._rooms,
            self._from(number),
            f"{self._seed}:{number}",
            self._rent,
            self._patience_s,
        )
        while self._posts_left > 0:
            await self.until(lambda: bool(self._rooms.free))
            self._posts_left -= 1
            await writer.post()


def _ignore(_event: Record) -> None:
    """Nobody waits for what a replay shows."""
