"""Pages are read a few at a time, and only for those who are still there."""

from __future__ import annotations

import asyncio

from abbotik_gateway.handlers.following.feeds import BoundedReads
from abbotik_gateway.streams import Head, Page


class SlowLog:
    """A log whose pages come when the test lets them."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.may = asyncio.Event()

    async def head(self, tenant: str, room: str) -> Head | None:
        """Nobody asks."""
        raise NotImplementedError

    async def page(self, tenant: str, room: str, after: int) -> Page:  # noqa: ARG002  of any room
        """Return an empty page."""
        self.read.append(after)
        await self.may.wait()
        return Page([], more=False)


async def test_whoever_left_in_the_queue_is_not_read_for() -> None:
    """Followers that come and go faster than pages are read must not hold up those who stay."""
    log, left = SlowLog(), False
    reads = BoundedReads(log, limit=1)
    first = asyncio.ensure_future(reads.page("t", "r", 1))
    leaves = asyncio.ensure_future(reads.page_for(lambda: left, "t", "r", 2))
    stays = asyncio.ensure_future(reads.page_for(lambda: False, "t", "r", 3))
    await asyncio.sleep(0)
    left = True
    log.may.set()
    assert await first == Page([], more=False)
    assert await leaves is None
    assert await stays == Page([], more=False)
    assert log.read == [1, 3]
