"""A follower of the fault load leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import repeat

from tests.faults.follower import Follower
from tests.faults.history import Sightings


async def test_a_follower_cancelled_before_its_answer_closes_its_connection() -> None:
    """A gateway that stands still is asked, and hears the end of the connection."""
    asked, over = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        over.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        follower = Follower(
            Sightings("room_a", "follower"), repeat(("gateway", url)), "token", [], lambda _: None
        )
        following = asyncio.create_task(follower.follow())
        await asked.wait()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await asyncio.wait_for(over.wait(), 5)
