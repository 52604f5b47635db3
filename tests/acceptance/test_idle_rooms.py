"""Idle rooms cost no work: what is read and said each second does not depend on their number."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import nats
import pymongo
import pytest
from nats.aio.msg import Msg
from pymongo.database import Database

from abbotik_contracts.subjects import WORKERS_HERE
from tests.acceptance.room_client import RoomClient
from tests.eventually import eventually, eventually_sync
from tests.stack import Stack

ROOMS = 1_000
AT_ONCE = 32
WINDOW_S = 10.0
# Of a loop that looks at rooms one pass alone would read more.
FEW_READS = 50
# Each second a gateway reads what the worker says of itself: one key, one document, one answer.
SAYINGS = 3 * int(WINDOW_S)
# Heartbeats of pulls, and what readiness and backpressure ask each second.
FEW_MESSAGES = ROOMS // 2
# Subjects that name a room: work for it, its events, what it has planned.
OF_ROOMS = {"cmd", "turn", "due", "schedule", "evt", "live", "ctl"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack of real processes."""
    with Stack(tmp_path_factory.mktemp("idle")) as running:
        yield running


async def test_a_thousand_idle_rooms_cost_no_work(stack: Stack) -> None:
    """A worker that starts among them reads none, nor does it each second, until one is needed."""
    async with httpx.AsyncClient(timeout=30) as http:
        client = RoomClient(stack.urls, stack.headers, http)
        rooms = await _rent_all(client)
        with pymongo.MongoClient[dict[str, Any]](stack.mongo_url) as mongo:
            database = mongo[stack.database]
            await eventually(lambda: _all_settled(database), within_s=30)
            reads = _log_accesses(mongo, stack)
            await asyncio.to_thread(_replace_worker, stack, database)
            work = await _work_in_window(mongo, stack.nats_url)
            reads = _log_accesses(mongo, stack) - reads
        await client.post(rooms[0], "hello")
        log = await client.follow(rooms[0], until="actor:turn_end")
    assert reads <= FEW_READS
    assert work["documents"] + work["keys"] <= FEW_READS + SAYINGS, work
    assert work["messages"] <= FEW_MESSAGES, work
    assert work["of rooms"] == 0, work
    assert log[-1]["payload"]["status"] == "completed"


async def _rent_all(client: RoomClient) -> list[str]:
    """Rent rooms of every kind that waits: for nothing, for a time, asleep, after a turn."""
    year = datetime.now(UTC) + timedelta(days=365)
    kinds: list[dict[str, Any]] = [
        {},
        {"wake_policy": {"schedule": {"at": year.isoformat()}}},
        {"wake_policy": {"schedule": {"every_s": 86_400, "content": "daily"}}},
        {"wake_policy": {"sleep_after_s": 1}},
        {"wake_policy": {"mode": "explicit"}},
    ]
    places = asyncio.Semaphore(AT_ONCE)

    async def rent(number: int) -> str:
        async with places:
            room = await client.rent(**kinds[number % len(kinds)])
            if number % 20 == 0:
                await client.post(room, "hello")
            return room

    return await asyncio.gather(*(rent(number) for number in range(ROOMS)))


def _all_settled(database: Database[dict[str, Any]]) -> bool:
    """Whether no room has anything to do, and the worker has said that it owes nothing."""
    (worker,) = database["workers"].find()
    owed = {"session": worker["_id"], "counter": {"$gt": worker["projected_through"]}}
    asleep = {"state.status": "sleeping"}
    return (
        database["room_log"].count_documents(owed) == 0
        and database["rooms"].count_documents({"session": {"$gt": ""}}) == 0
        and database["rooms"].count_documents(asleep) == ROOMS // 5
    )


def _replace_worker(stack: Stack, database: Database[dict[str, Any]]) -> None:
    """Kill the worker, start it again, and return once the dead one is buried."""
    (dead,) = database["workers"].distinct("_id")
    stack.restart("room-worker")
    eventually_sync(lambda: dead not in database["workers"].distinct("_id"), within_s=30)


async def _work_in_window(mongo: pymongo.MongoClient[dict[str, Any]], url: str) -> Counter[str]:
    """Count what MongoDB returns and reads, and what NATS carries, while nothing happens."""
    heard: Counter[str] = Counter()

    async def hear(message: Msg) -> None:
        # What workers say of themselves names no room.
        is_word = message.subject == WORKERS_HERE
        heard["workers" if is_word else message.subject.split(".")[0]] += 1

    listener = await nats.connect(url)
    await listener.subscribe(">", cb=hear)
    await listener.flush()
    before = _read(mongo)
    await asyncio.sleep(WINDOW_S)
    work = _read(mongo)
    work.subtract(before)
    await listener.close()
    work["messages"] = heard.total()
    work["of rooms"] = sum(heard[name] for name in OF_ROOMS)
    return work


def _read(mongo: pymongo.MongoClient[dict[str, Any]]) -> Counter[str]:
    status = mongo.admin.command("serverStatus")
    executor = status["metrics"]["queryExecutor"]
    return Counter(
        documents=status["metrics"]["document"]["returned"] + executor["scannedObjects"],
        keys=executor["scanned"],
        commands=sum(status["opcounters"].values()),
    )


def _log_accesses(mongo: pymongo.MongoClient[dict[str, Any]], stack: Stack) -> int:
    """Return how often the rooms' log was accessed so far."""
    top = mongo.admin.command("top")["totals"][f"{stack.database}.room_log"]
    return int(top["total"]["count"])
