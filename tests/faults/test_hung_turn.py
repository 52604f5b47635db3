"""A turn that hangs on a worker that hears nothing: whatever is asked of it, it ends in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from pymongo import AsyncMongoClient

from abbotik_room_worker.domain.ticks import ESCALATION_MS
from tests.acceptance.room_client import Record, RoomClient
from tests.faults.faulty_stack import WORKERS, FaultyStack
from tests.faults.proxies import Proxies

DEADLINE_MS = 1_000
# What a release gives a turn that does not stop.
RELEASE_S = 10.0
# Until somebody looks, twice, on a busy machine.
LOOK_S = 3.0
HANGS = "!say half\n!wait 600000\n!say never"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FaultyStack]:
    """Yield a stack whose workers can be cut off from the bus."""
    with Proxies() as proxies, FaultyStack(tmp_path, proxies) as running:
        yield running


async def test_turn_of_a_deaf_worker_ends_as_it_is_told(stack: FaultyStack) -> None:
    """Interrupted by its deadline though no nudge arrives; released though its holder dies."""
    async with httpx.AsyncClient(timeout=20) as http:
        client = RoomClient(stack.urls, stack.headers, http)
        room = await client.rent()
        await _hangs_on_a_deaf_worker(stack, client, room)
        asked = time.time()
        body = {"mode": "soft", "deadline_ms": DEADLINE_MS}
        await client.send("POST", f"/llm/room/{room}/interrupt", body)
        events = await client.follow(room, until="actor:turn_end")
        assert events[-1]["payload"]["status"] == "interrupted"
        assert _at(events[-1]) - asked < (DEADLINE_MS + ESCALATION_MS) / 1000 + LOOK_S
        for worker in WORKERS:
            stack.flow(worker, "nats")
        await client.post(room, "!say goes on")
        await client.follow(room, until="actor:turn_end", count=2)

        holder = await _hangs_on_a_deaf_worker(stack, client, room)
        asked = time.time()
        await client.send("POST", f"/llm/room/{room}/release", {})
        stack.kill(holder)
        events = await client.follow(room, until="room:released")
        assert _at(events[-1]) - asked < RELEASE_S + LOOK_S
    ends = [e["payload"]["status"] for e in events if e["event_type"] == "actor:turn_end"]
    assert ends == ["interrupted", "completed", "interrupted"]


def _at(event: Record) -> float:
    return datetime.fromisoformat(event["created_at"]).timestamp()


async def _hangs_on_a_deaf_worker(stack: FaultyStack, client: RoomClient, room: str) -> str:
    """Begin a turn that never ends, cut its worker off from NATS, and return its name."""
    before = await client.log(room)
    begun = sum(event["event_type"] == "actor:turn_start" for event in before)
    await client.post(room, HANGS)
    await client.follow(room, until="actor:turn_start", count=begun + 1)
    holder = await _holder(stack, room)
    await asyncio.to_thread(stack.cut, holder, "nats")
    return holder


async def _holder(stack: FaultyStack, room: str) -> str:
    """Return the name of the worker whose session the room's log names."""
    async with AsyncMongoClient[Record](stack.mongo_url) as mongo:
        entries = mongo[stack.database]["room_log"]
        newest = await entries.find_one({"room": room}, sort=[("rev", -1)])
    assert newest is not None
    session = newest["state"]["lease"]["session"]
    return next(name for name in WORKERS if stack.session(name) == session)
