"""Reads whose client leaves, or whose time is over, go on to their end: see `uncancelled`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from abbotik_gateway.adapters.contents import MongoContents
from abbotik_gateway.adapters.room_list import MongoRoomList
from abbotik_gateway.adapters.room_log import MongoRoomScope
from abbotik_gateway.adapters.tickets import MongoTickets


class Slow:
    """A driver, or what stands before it: each call waits, and notes how it ended."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def __getitem__(self, _collection: str) -> Slow:
        """Return the same for a collection."""
        return self

    def __getattr__(self, _name: str) -> Callable[..., Coroutine[Any, Any, None]]:
        """Return any method of it."""
        return self._call

    def find(self, *_: object, **__: object) -> Slow:
        """Return a cursor that is as slow."""
        return self

    def __aiter__(self) -> Slow:
        """Return the cursor."""
        return self

    async def __anext__(self) -> None:
        """Wait, and have nothing."""
        await self._call()
        raise StopAsyncIteration

    async def _call(self, *_: object, **__: object) -> None:
        self.asked.set()
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.ended.set_result("cancelled")
            raise
        self.ended.set_result("answered")


READS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "last": lambda slow: MongoRoomScope(slow).last(),
    "room": lambda slow: MongoRoomScope(slow).room(),
    "by_key": lambda slow: MongoRoomScope(slow).by_key("key"),
    "events_after": lambda slow: MongoRoomScope(slow).events_after(0),
    "messages_after": lambda slow: MongoRoomScope(slow).messages_after(0),
    "ended_turns": lambda slow: MongoRoomScope(slow).ended_turns(1, 2),
    "content": lambda slow: MongoContents(slow).get("acme", "digest"),
    "list": lambda slow: MongoRoomList(slow).page(
        "acme", status=None, name=None, after=None, limit=1
    ),
    "ticket": lambda slow: MongoTickets(slow).use("digest", "room", 0, 1),
}


@pytest.mark.parametrize("read", READS)
async def test_read_that_is_given_up_goes_on(read: str) -> None:
    """Its caller is free at once, and the driver is not disturbed."""
    slow = Slow()

    async def caller() -> object:
        return await READS[read](slow)

    asking = asyncio.create_task(caller())
    await slow.asked.wait()
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    slow.answer.set()
    assert await asyncio.wait_for(slow.ended, 5) == "answered"
