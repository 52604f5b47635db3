"""Three workers, two gateways, two hundred rooms: nothing lost, doubled or out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.promises import broken
from tests.acceptance.room_client import RoomClient
from tests.stack import Stack

ROOMS = 200
MESSAGES = 3
AT_ONCE = 32


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack of real processes."""
    folder: Path = tmp_path_factory.mktemp("scale")
    with Stack(folder, gateways=2, room_workers=3) as running:
        yield running


async def test_two_hundred_rooms_over_three_workers_and_two_gateways(stack: Stack) -> None:
    """Every follower sees exactly the log, and every message in it is answered exactly once."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=20, limits=limits) as http:
        client = RoomClient(stack.urls, stack.headers, http)
        places = asyncio.Semaphore(AT_ONCE)

        async def use(number: int) -> list[str]:
            async with places:
                room = await client.rent(metadata={"name": f"room-{number}"})
                follower = asyncio.create_task(
                    client.follow(room, until="actor:turn_end", count=MESSAGES)
                )
                told = [
                    (await client.post(room, f"message {n} of {number}"))["id"]
                    for n in range(MESSAGES)
                ]
                seen = await follower
                log = await client.log(room)
                problems = broken(log, told)
                if seen != log[: len(seen)]:
                    problems.append("the follower saw something else than the log")
                return [f"room {number}: {problem}" for problem in problems]

        found = await asyncio.gather(*(use(number) for number in range(ROOMS)))
    assert [problem for problems in found for problem in problems] == []
