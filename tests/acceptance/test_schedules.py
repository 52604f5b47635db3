"""Schedules over kills: every occurrence ends once, although workers die and NATS forgets all."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.occurrences import check_occurrences
from tests.acceptance.room_client import RoomClient
from tests.stack import Stack

ROOMS = 8
SCHEDULE = {"every_s": 1, "content": "tick", "overlap": "queue"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Return a stack with a second worker to go on with."""
    with Stack(tmp_path, room_workers=2) as running:
        yield running


async def test_every_occurrence_ends_once(stack: Stack, tmp_path: Path) -> None:
    """Over a killed worker and a NATS that lost its files, none is left out and none is doubled."""
    async with httpx.AsyncClient(timeout=20) as http:
        client = RoomClient(stack.urls, stack.headers, http)
        body = {"wake_policy": {"schedule": SCHEDULE}}
        rooms = await asyncio.gather(*(client.rent(**body) for _ in range(ROOMS)))
        await _wakes(client, rooms, 2)
        await asyncio.to_thread(stack.kill, "room-worker")
        await _wakes(client, rooms, 5)
        await asyncio.to_thread(_forget_everything, stack, tmp_path)
        await _wakes(client, rooms, 9)
        logs = [await client.log(room) for room in rooms]
    for log in logs:
        check_occurrences(log)


async def _wakes(client: RoomClient, rooms: list[str], count: int) -> None:
    """Return when every room has had so many occurrences."""
    await asyncio.gather(*(client.follow(room, until="room:wake", count=count) for room in rooms))


def _forget_everything(stack: Stack, folder: Path) -> None:
    """Kill NATS and start it without its files; somebody provisions it again."""
    stack.kill("nats-server")
    shutil.rmtree(folder / "nats" / "jetstream")
    stack.spawn(["nats-server"])
    stack.wait_ready(["nats-server"])
    stack.provision()
