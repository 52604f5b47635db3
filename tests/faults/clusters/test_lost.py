"""Clusters of NATS and MongoDB lose members: nothing is lost, and nobody is taken for dead."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial

import httpx
import nats
from nats.aio.msg import Msg
from pymongo import AsyncMongoClient, MongoClient

from abbotik_contracts.subjects import CONSUMERS, STREAMS
from abbotik_runtime.bus import Bus
from abbotik_runtime.provision import missing, provision
from abbotik_runtime.settings import ServiceSettings
from tests.acceptance.room_client import RoomClient
from tests.eventually import eventually
from tests.faults.cell import run_cell
from tests.faults.clustered_stack import MEMBERS, ClusteredStack
from tests.faults.faults import Cell
from tests.faults.faulty_stack import WORKERS
from tests.faults.history import Record
from tests.servers import stop_clock

ROOMS = 64
# Longer than it takes to post into all rooms and to elect a primary.
TEXT = " ".join(f"word{number}" for number in range(100))
SCRIPT = f"!stream 80 {TEXT}"
ONE_TURN = dict.fromkeys(
    (
        *("room:rented", "message:queued", "room:active", "actor:turn_start"),
        *("actor:output", "actor:turn_end", "room:idle"),
    ),
    1,
)
# The server waits 4 to 9 s before it votes, and a vote may have to be repeated.
ELECTION_S = 20.0
# Longer than a session lives, so that everybody looks dead afterwards.
SLOW_MS = 5_000
EARLY, LATE = WORKERS
NOBODY = "127.0.0.1:1"


async def test_every_stream_is_kept_by_three(stack: ClusteredStack) -> None:
    """Provision made them so and has nothing to add; services know of no replicas and are content.

    Of the servers that a URL names not all need to be there.
    """
    settings = ServiceSettings(
        nats_url=f"nats://{NOBODY},{stack.nats_url}",
        mongo_url=stack.mongo_url.replace("//", f"//{NOBODY},"),
        mongo_database=stack.database,
    )
    await provision(
        settings.nats_url, settings.mongo_url, settings.mongo_database, replicas=MEMBERS
    )
    bus = await Bus.open(settings, "test")
    for stream in STREAMS:
        info = await bus.js.stream_info(stream.name)
        assert (info.config.num_replicas, info.config.persist_mode) == (MEMBERS, None)
    for consumer in CONSUMERS:
        cluster = (await bus.js.consumer_info(consumer.stream, consumer.name)).cluster
        assert cluster is not None
        assert len(cluster.replicas or ()) == MEMBERS - 1
    for service in ("gateway", "room-worker", "factory", "verifier"):
        assert await missing(bus.js, service) == []
    await bus.close()


async def test_turns_outlive_the_primary_of_mongodb(stack: ClusteredStack) -> None:
    """While it is away nobody takes a turn over: each runs once and says its whole text, once.

    One worker hears of the next primary late, so the other finds its session expired.
    """
    limits = httpx.Limits(max_connections=None)
    quick = _elects_after(stack, SLOW_MS)
    async with httpx.AsyncClient(timeout=20, limits=limits) as http, _frames(stack) as frames:
        client = RoomClient(stack.urls, stack.headers, http)
        rooms = await asyncio.gather(*(client.rent() for _ in range(ROOMS)))
        await asyncio.gather(*(client.post(room, SCRIPT) for room in rooms))
        await asyncio.gather(*(client.follow(room, until="actor:turn_start") for room in rooms))
        primary, killed = stack.primary(), time.time()
        with _paused(stack, LATE):
            stack.kill(primary)
            await _has_renewed_twice(stack, EARLY)
        await asyncio.gather(*(client.follow(room, until="actor:turn_end") for room in rooms))
        logs = await asyncio.gather(*(client.log(room) for room in rooms))
    stack.bring_back(primary)
    _elects_after(stack, quick)
    for log in logs:
        assert Counter(event["event_type"] for event in log) == ONE_TURN
        output, end = (_only(log, name) for name in ("actor:output", "actor:turn_end"))
        assert (output["payload"]["text"], end["payload"]["status"]) == (TEXT, "completed")
        assert datetime.fromisoformat(end["created_at"]).timestamp() > killed, "it ran no more"
    # Each call of the model begins at offset 0 and says its words in order.
    assert [frame for frame, times in frames.items() if times > 1] == []


async def test_the_leader_of_commands_is_killed_under_load(stack: ClusteredStack) -> None:
    """The checker finds nothing, and POSTs are accepted again in the time of an election."""
    line = await run_cell(stack, Cell("nats-leader", "kill"), seed=0)
    assert line["violations"] == []
    assert line["victim"].startswith("nats-server")
    assert max(line["recovery_s"]) <= ELECTION_S


@contextmanager
def _paused(stack: ClusteredStack, name: str) -> Iterator[None]:
    stop_clock(stack.pids[name])
    try:
        yield
    finally:
        stack.kill(name, signal.SIGCONT)


async def _has_renewed_twice(stack: ClusteredStack, worker: str) -> None:
    """Return when the worker's session was renewed, and once more: it has looked at others'."""
    session = stack.session(worker)
    async with AsyncMongoClient[Record](stack.mongo_url) as client:
        workers = client[stack.database]["workers"]

        async def renewed(since: datetime) -> datetime | None:
            found = await workers.find_one({"_id": session, "renewed_at": {"$gt": since}})
            return None if found is None else found["renewed_at"]

        # Of before the kill there may be one on its way.
        at = await eventually(partial(renewed, datetime.now(UTC)), within_s=ELECTION_S)
        await eventually(partial(renewed, at), within_s=ELECTION_S)


@asynccontextmanager
async def _frames(stack: ClusteredStack) -> AsyncIterator[Counter[tuple[str, int]]]:
    """Yield how often each place of each room's answer is said, as it is being said."""
    said: Counter[tuple[str, int]] = Counter()

    async def note(message: Msg) -> None:
        frame = json.loads(message.data)
        said[frame["room_id"], frame["offset"]] += 1

    client = await nats.connect(stack.nats_url.split(","))
    await client.subscribe("live.room.>", cb=note)
    await client.flush()
    try:
        yield said
    finally:
        await client.close()


def _only(log: list[Record], event_type: str) -> Record:
    (event,) = (event for event in log if event["event_type"] == event_type)
    return event


def _elects_after(stack: ClusteredStack, ms: int) -> int:
    """Have MongoDB miss its primary after that time, and return after which it did before."""
    with MongoClient[Record](stack.mongo_url) as client:
        config = client.admin.command("replSetGetConfig")["config"]
        before = int(config["settings"]["electionTimeoutMillis"])
        config["settings"]["electionTimeoutMillis"] = ms
        config["version"] += 1
        client.admin.command("replSetReconfig", config)
    return before
