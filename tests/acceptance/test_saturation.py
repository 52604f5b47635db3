"""More work than there are slots: whoever waits is served, however busy the others are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from tests.acceptance.room_client import RoomClient
from tests.stack import Stack

SLOTS = 2
GREEDY = 4
PATIENT = 6


async def test_rooms_that_are_never_done_starve_nobody(tmp_path: Path) -> None:
    """Twice as many rooms as slots always have more messages; the others come in between."""
    with Stack(tmp_path, env={"ABBOTIK_TURN_SLOTS": str(SLOTS)}) as stack:
        async with httpx.AsyncClient(timeout=20) as http:
            client = RoomClient(stack.urls, stack.headers, http)
            greedy = await asyncio.gather(*(client.rent() for _ in range(GREEDY)))
            patient = await asyncio.gather(*(client.rent() for _ in range(PATIENT)))
            pumps = [asyncio.create_task(_pump(http, stack, room)) for room in greedy]
            await client.follow(greedy[0], until="actor:turn_end", count=20)
            await asyncio.gather(*(client.post(room, "at last") for room in patient))
            await asyncio.gather(*(client.follow(room, until="actor:turn_end") for room in patient))
            assert not any(pump.done() for pump in pumps)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(http: httpx.AsyncClient, stack: Stack, room: str) -> None:
    """Keep the room's queue full for ever."""
    while True:
        answer = await http.post(
            f"{stack.url}/llm/room/{room}/messages",
            json={"content": "!wait 20"},
            headers=stack.headers,
        )
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            # Not longer than the queue lasts.
            await asyncio.sleep(0.1)
        else:
            assert answer.status_code == httpx.codes.ACCEPTED, answer.text
