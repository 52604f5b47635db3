"""What a writer does: it posts, and now and then asks something else of a room.

The shares are of its posts, and small: the load is messages.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tests.faults import timetable
from tests.faults.caller import Caller, Gateways, Request, patch
from tests.faults.history import Call, Record
from tests.faults.rooms import Rooms

# Whatever runs in the room is interrupted, every third time softly.
INTERRUPTED = 0.12
# The writer posts a long turn, waits for it and interrupts just that.
STOPPED = 0.03
# A turn that is over is to be interrupted.
STOPPED_LATE = 0.03
# The message is only for a room at rest.
REJECTED = 0.08
PATCHED = 0.04
# The schedule of a room that has one, or had, is replaced or ended.
RESCHEDULED = 0.3
# The room is woken, every second time with a message.
WOKEN = 0.08
# The room is released, with whatever runs or waits in it.
RELEASED = 0.04


class Writer:
    """Posts into the rooms through the gateways in turn, as ``seed`` decides.

    ``rent`` rents a room in place of one that was released.
    """

    def __init__(
        self,
        caller: Caller,
        rooms: Rooms,
        gateways: Gateways,
        seed: str,
        rent: Callable[[Gateways], Awaitable[Any]],
        patience_s: float,
    ) -> None:
        self._caller = caller
        self._rooms = rooms
        self._gateways = gateways
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, no secret
        self._rent = rent
        self._patience_s = patience_s

    async def post(self) -> None:
        """Post one message into a room that takes another, and do what else chance wants."""
        chance = self._chance
        room = chance.choice(self._rooms.free)
        if chance.random() < STOPPED:
            await self._post_and_stop(room)
        else:
            await self._post(room, self._content())
        others = (
            (INTERRUPTED, self._interrupt),
            (STOPPED_LATE, self._interrupt_late),
            (PATCHED, self._patch),
            (WOKEN, self._wake),
            (RESCHEDULED, self._reschedule),
            (RELEASED, self._release),
        )
        for share, other in others:
            if chance.random() < share:
                await other(room)

    async def _ask(self, what: str, room: str, body: Record) -> Call:
        return await self._caller.insist(Request(what, room, body), self._gateways)

    def _content(self) -> str:
        words = self._words()
        tool = '!tool wait {"ms": 100}'
        kinds = (f"!stream 15 {words}", words, f"{tool}\n{tool}\n!say {words}")
        (content,) = self._chance.choices(kinds, weights=(6, 2, 2))
        return content

    def _words(self) -> str:
        # So that the log shows which key a message came from: no other has these words.
        count = self._chance.randint(20, 60)
        return " ".join([str(uuid.uuid4()), *(f"word{number}" for number in range(count))])

    async def _post(self, room: str, content: str) -> Call:
        self._rooms.count(room, 1)
        body = {"content": content}
        if self._chance.random() < REJECTED:
            body["delivery"] = "reject"
        request = Request("post", room, body)
        posted = await self._caller.insist(request, self._gateways)
        if posted.error == "ROOM_BUSY":
            self._rooms.count(room, -1)
            # By now the room may be at rest; the answer stays what it was.
            await self._caller.insist(request, self._gateways)
        return posted

    async def _post_and_stop(self, room: str) -> None:
        """Interrupt a turn by its id, long before it would end by itself."""
        posted = await self._post(room, f"!stream 150 {self._words()}")
        message, turns = posted.told, self._rooms.turns
        if not posted.accepted:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                await self._rooms.until(
                    lambda: message in turns or self._rooms.has_ended(room, message)
                )
        if message in turns:
            mode = self._chance.choice(("soft", "hard"))
            await self._ask("interrupt", room, {"turn_id": turns[message], "mode": mode})

    async def _interrupt(self, room: str) -> None:
        soft = self._chance.random() < 1 / 3
        await self._ask("interrupt", room, {"mode": "soft"} if soft else {})

    async def _interrupt_late(self, room: str) -> None:
        if room in self._rooms.over:
            request = Request("interrupt", room, {"turn_id": self._rooms.over[room]}, over=True)
            await self._caller.insist(request, self._gateways)

    async def _patch(self, room: str, body: Record | None = None) -> None:
        newest = self._rooms.versions.get(room, 0)
        # Any version, the newest that was seen, or one that is too old if it is one at all.
        wanted = self._chance.choice((0, newest, newest - 1))
        request = patch(room, body or {}, max(0, wanted))
        await self._caller.insist(request, self._gateways)

    async def _reschedule(self, room: str) -> None:
        if room in self._rooms.scheduled:
            schedule = timetable.replacing(self._chance.randint(0, timetable.KINDS))
            await self._patch(room, {"wake_policy": {"schedule": schedule}})

    async def _wake(self, room: str) -> None:
        key = str(uuid.uuid4())
        body: Record = {"reason": key}
        if self._chance.random() < 1 / 2:
            body["content"] = self._content()
        await self._caller.insist(Request("wake", room, body, key), self._gateways)

    async def _release(self, room: str) -> None:
        # Another writer may have done so meanwhile.
        if self._rooms.remove(room):
            await self._ask("release", room, {})
            await self._rent(self._gateways)
