"""Two workers share the rooms: each room's commands are decided by one of them while it lives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pymongo
import pytest

from tests.acceptance.promises import broken
from tests.acceptance.room_client import RoomClient
from tests.eventually import eventually
from tests.stack import Stack

WORKERS = 2
ROOMS = 16
MESSAGES = 4
# By chance one room in sixteen would be written by one worker alone.
SEVERAL = 4

Database = pymongo.database.Database[dict[str, Any]]


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack with two workers."""
    with Stack(tmp_path_factory.mktemp("homes"), room_workers=WORKERS) as running:
        yield running


async def _use(client: RoomClient, room: str, posted: dict[str, list[str]]) -> None:
    """Post messages, each when the one before it was answered."""
    told = posted.setdefault(room, [])
    for number in range(MESSAGES):
        told.append((await client.post(room, f"message {number}"))["id"])
        await client.follow(room, until="actor:turn_end", count=len(told))


async def _new_room(client: RoomClient, posted: dict[str, list[str]]) -> str:
    room = await client.rent()
    await _use(client, room, posted)
    return room


def _writers(database: Database, room: str) -> set[str]:
    return set(database["room_log"].distinct("session", {"tenant": "dev", "room": room}))


async def test_a_room_is_decided_at_home_and_elsewhere_once_that_is_gone(stack: Stack) -> None:
    """Both workers have rooms. One is killed, and its rooms go on at the other one."""
    posted = dict[str, list[str]]()
    with pymongo.MongoClient[dict[str, Any]](stack.mongo_url) as mongo:
        database = mongo[stack.database]
        async with httpx.AsyncClient(timeout=20) as http:
            client = RoomClient(stack.urls, stack.headers, http)

            async def shared() -> dict[str, list[str]] | None:
                """Return the rooms that one worker wrote alone; None while they are strangers."""
                alone = dict[str, list[str]]()
                for room in await asyncio.gather(
                    *(_new_room(client, posted) for _ in range(ROOMS))
                ):
                    writers = _writers(database, room)
                    if len(writers) == 1:
                        alone.setdefault(writers.pop(), []).append(room)
                several = sum(len(rooms) >= SEVERAL for rooms in alone.values())
                return alone if several == WORKERS else None

            alone = await eventually(shared, within_s=60)
            victim, homeless = alone.popitem()
            host = database["workers"].find_one({"_id": victim})
            assert host is not None
            name = next(n for n, pid in stack.pids.items() if host["host"].endswith(f" {pid}"))
            stack.kill(name)
            ((survivor, others),) = alone.items()
            await asyncio.gather(*(_use(client, room, posted) for room in (*homeless, *others)))
            assert {frozenset(_writers(database, room)) for room in homeless} == {
                frozenset((victim, survivor))
            }
            assert {frozenset(_writers(database, room)) for room in others} == {
                frozenset((survivor,))
            }
            logs = await asyncio.gather(*map(client.log, posted))
    problems = map(broken, logs, posted.values())
    assert [found for found in problems if found] == []
