"""A server that is away for a while, or comes back without its files, under load."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import httpx
import pytest
from pymongo import AsyncMongoClient

from tests.acceptance.promises import broken
from tests.acceptance.room_client import Record, RoomClient
from tests.bus import waiting
from tests.stack import Stack

ROOMS = 16
POSTS = 12
# Longer than any patience of the product: what waits is given up and tried again, often.
AWAY_S = 60.0
WORKERS = ("room-worker", "room-worker-2", "room-worker-3")
# From NATS's return to the end of a turn that nobody held.
RETURN_S = 5.0


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Return a stack with three workers."""
    with Stack(tmp_path, room_workers=3) as running:
        yield running


async def test_mongodb_away_under_load_loses_nothing(stack: Stack) -> None:
    """Every accepted command ends in the log once; nothing becomes a dead letter."""
    async with httpx.AsyncClient(timeout=20) as http:
        client = RoomClient(stack.urls, stack.headers, http)
        rooms = await asyncio.gather(*(client.rent() for _ in range(ROOMS)))
        writers = [asyncio.create_task(_write(client, room)) for room in rooms]
        await asyncio.gather(*(client.follow(room, until="actor:turn_end") for room in rooms))
        stack.kill("mongod")
        # The time that it is away is the test's subject.
        await asyncio.sleep(AWAY_S)
        stack.spawn(["mongod"])
        told = dict(zip(rooms, await asyncio.gather(*writers), strict=True))
        for room in rooms:
            await client.follow(room, until="actor:turn_end", count=POSTS)
            assert broken(await client.log(room), told[room]) == []
    assert await waiting(stack.nats_url, "DLQ") == 0


async def test_turn_that_only_the_log_knows_survives_a_loss_of_the_bus(
    stack: Stack, tmp_path: Path
) -> None:
    """Its worker dies before it is projected, and NATS forgets all: another worker finds it."""
    async with httpx.AsyncClient(timeout=20) as http:
        client = RoomClient(stack.urls, stack.headers, http)
        room = await _begun_and_not_projected(stack, client)
        shutil.rmtree(tmp_path / "nats" / "jetstream")
        stack.bring_back("nats-server")
        stack.provision()
        returned = monotonic()
        async with asyncio.timeout(4 * RETURN_S):
            events = await client.follow(room, until="actor:turn_end")
        took = monotonic() - returned
    types = [event["event_type"] for event in events]
    assert types.count("actor:turn_start") == types.count("room:recovered") == 1
    assert events[-1]["payload"]["status"] == "completed"
    assert took < RETURN_S


async def _write(client: RoomClient, room: str) -> list[str]:
    """Post one message after the other; return their ids."""
    return [(await client.post(room, f"!say {number}"))["id"] for number in range(POSTS)]


async def _begun_and_not_projected(stack: Stack, client: RoomClient) -> str:
    """Return a room whose turn is in the log and nowhere else; its worker and NATS are dead."""
    for _ in range(20):
        room = await client.rent()
        await client.post(room, "!wait 1000\n!say done")
        # First, or it would deliver the command again, and whoever gets that finds the turn by it.
        stack.kill("nats-server")
        session = await _holder(stack, "room_log", {"room": room}, "state.lease.session")
        victim = next(name for name in WORKERS if stack.session(name) == session)
        # Projections linger for half a second.
        stack.kill(victim)
        if await _holder(stack, "rooms", {"_id": room}, "session") is None:
            return room
        stack.bring_back("nats-server", victim)
    raise AssertionError("every room was projected before its worker was dead")


async def _holder(stack: Stack, collection: str, room: Record, member: str) -> str | None:
    """Return the session that the newest document of a room names in that member."""
    async with AsyncMongoClient[Record](stack.mongo_url) as client:
        found = await client[stack.database][collection].find_one(room, sort=[("rev", -1)])
    for name in member.split("."):
        found = found and found[name]
    return str(found) if found else None
