"""Kill any one process while fifty rooms stream: no event is lost, none is doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.promises import broken
from tests.acceptance.room_client import RoomClient
from tests.stack import Stack

ROOMS = 50
MESSAGES = 2
SCRIPT = "!stream 15 " + " ".join(f"word{number}" for number in range(30))
VICTIMS = ("gateway", "room-worker", "factory", "verifier", "nats-server", "mongod")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack with a second gateway and a second worker to go on with."""
    with Stack(tmp_path_factory.mktemp("kill"), gateways=2, room_workers=2) as running:
        yield running


@pytest.mark.parametrize("victim", VICTIMS)
async def test_killing_a_process_loses_and_doubles_nothing(stack: Stack, victim: str) -> None:
    """After kill -9 and a restart every room's log, and every follower, is whole."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=20, limits=limits) as http:
        client = RoomClient(stack.urls, stack.headers, http)
        rooms = await asyncio.gather(*(client.rent() for _ in range(ROOMS)))
        streaming = asyncio.Event()
        uses = [asyncio.create_task(_use(client, room, streaming)) for room in rooms]
        await streaming.wait()
        await asyncio.to_thread(stack.restart, victim)
        found = await asyncio.gather(*uses)
    assert [problem for problems in found for problem in problems] == []


async def _use(client: RoomClient, room: str, streaming: asyncio.Event) -> list[str]:
    """Post messages and follow the room to the end of their turns; say what is wrong with it."""
    follower = asyncio.create_task(client.follow(room, until="actor:turn_end", count=MESSAGES))
    told = []
    for _ in range(MESSAGES):
        told.append((await client.post(room, SCRIPT))["id"])
        streaming.set()
    seen = await follower
    log = await client.log(room)
    problems = broken(log, told)
    if seen != log[: len(seen)]:
        problems.append("the follower saw something else than the log")
    return [f"{room}: {problem}" for problem in problems]
