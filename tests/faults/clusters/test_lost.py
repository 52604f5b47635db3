"""Clusters of NATS and MongoDB lose members: nothing is lost, and nobody is taken for dead."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
import nats
import pytest
from nats.aio.msg import Msg
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from abbotik_contracts.subjects import CONSUMERS, STREAMS
from abbotik_runtime import mongo
from abbotik_runtime.bus import Bus
from abbotik_runtime.ids import uuid7
from abbotik_runtime.log_reader import ROOM_LOG
from abbotik_runtime.log_writer import Committed, LogWriter, Lost
from abbotik_runtime.provision import missing, provision
from abbotik_runtime.settings import ServiceSettings
from tests.acceptance.room_client import RoomClient
from tests.eventually import eventually
from tests.faults.cell import run_cell
from tests.faults.clustered_stack import MEMBERS, ClusteredStack
from tests.faults.faults import Cell
from tests.faults.history import Record
from tests.integration.test_log_writer import entry

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
# Longer than a call of the store may take.
UNANSWERED_S = 4.0
# What two writers may send meanwhile.
CALLS = 8
NOBODY = "127.0.0.1:1"


class Calls(CommandListener):
    """Counts what the driver sends."""

    count = 0

    def started(self, event: CommandStartedEvent) -> None:  # noqa: ARG002 - any counts
        """Count a command."""
        self.count += 1

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Take no note."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Take no note."""


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
    """While it is away nobody takes a turn over: each runs once and says its whole text, once."""
    limits = httpx.Limits(max_connections=None)
    quick = _elects_after(stack, SLOW_MS)
    async with httpx.AsyncClient(timeout=20, limits=limits) as http, _frames(stack) as frames:
        client = RoomClient(stack.urls, stack.headers, http)
        rooms = await asyncio.gather(*(client.rent() for _ in range(ROOMS)))
        await asyncio.gather(*(client.post(room, SCRIPT) for room in rooms))
        await asyncio.gather(*(client.follow(room, until="actor:turn_start") for room in rooms))
        primary, killed = stack.primary(), time.time()
        stack.kill(primary)
        await asyncio.gather(*(client.follow(room, until="actor:turn_end") for room in rooms))
        logs = await asyncio.gather(*(client.log(room) for room in rooms))
    _bring_back(stack, primary)
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


@pytest.mark.parametrize("primary_dies", [False, True])
async def test_without_a_majority_a_rev_is_nobodys(
    stack: ClusteredStack, primary_dies: bool
) -> None:
    """Two writers want it: neither gets an answer nor spins; with a majority one of them has it.

    Also where the primary that alone had the rev is gone: then the rev is written anew.
    """
    calls, room = Calls(), uuid7()
    async with _writer(stack, calls) as one, _writer(stack, calls) as other:
        assert await one.append(entry(one, room, rev=1)) == Committed()
        primary = stack.primary()
        secondaries = [name for name in stack.pids if name.startswith("mongod") and name != primary]
        for name in secondaries:
            stack.kill(name, signal.SIGSTOP)
            await eventually(partial(_stands, stack.pids[name]))
        calls.count = 0
        answers = [
            asyncio.create_task(each.append(entry(each, room, rev=2))) for each in (one, other)
        ]
        await eventually(lambda: len(_writers_of(stack, primary, room)) == 2)
        answered, _ = await asyncio.wait(answers, timeout=UNANSWERED_S)
        assert not answered
        assert calls.count <= CALLS
        if primary_dies:
            stack.kill(primary)
        for name in secondaries:
            stack.kill(name, signal.SIGCONT)
        outcomes = await asyncio.gather(*answers)
        assert Counter(map(type, outcomes)) == {Committed: 1, Lost: 1}
        winner = (one, other)[outcomes.index(Committed())]
        assert await winner.append(entry(winner, room, rev=3)) == Committed()
    if primary_dies:
        _bring_back(stack, primary)
    for name in (primary, *secondaries):
        await eventually(partial(_agrees, stack, name, room, [one.session, *[winner.session] * 2]))


async def test_a_writer_that_waits_for_no_majority_is_found(
    stack: ClusteredStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers what only the primary has, and the test above says so."""
    command = AsyncDatabase.command

    async def hasty(database: mongo.Database, sent: Record) -> Record:
        if "insert" in sent:
            sent = {**sent, "writeConcern": {"w": 1}}
        return await command(database, sent)

    monkeypatch.setattr(AsyncDatabase, "command", hasty)
    try:
        with pytest.raises(AssertionError, match=r"assert not \{<Task finished"):
            await test_without_a_majority_a_rev_is_nobodys(stack, primary_dies=False)
    finally:
        for name in (name for name in stack.pids if name.startswith("mongod")):
            stack.kill(name, signal.SIGCONT)


async def test_new_work_is_refused_while_the_majority_does_not_follow(
    stack: ClusteredStack,
) -> None:
    """The primary answers as fast as ever, but confirms nothing: a POST need not wait for that."""
    async with httpx.AsyncClient(timeout=20, headers=stack.headers) as http:
        with _locked_secondaries(stack):
            said = await eventually(lambda: _refused(http, stack.url), within_s=ELECTION_S)
        assert said["reason"] == "store_slow"
        await eventually(lambda: _rents(http, stack.url), within_s=ELECTION_S)


@contextmanager
def _locked_secondaries(stack: ClusteredStack) -> Iterator[None]:
    """Keep both secondaries from writing; they go on to vote for their primary."""
    primary = stack.primary()
    with ExitStack() as locks:
        for name in stack.pids:
            if name.startswith("mongod") and name != primary:
                client = MongoClient[Record](stack.address(name), directConnection=True)
                admin = locks.enter_context(client).admin
                admin.command("fsync", lock=True)
                locks.callback(admin.command, "fsyncUnlock")
        yield


async def _refused(http: httpx.AsyncClient, url: str) -> Record | None:
    """Ask for a room; return the problem of an answer that says why nothing was passed on."""
    problem: Record = (await http.post(f"{url}/llm/room", json={})).json()
    return problem if "reason" in problem else None


async def _rents(http: httpx.AsyncClient, url: str) -> bool:
    return (await http.post(f"{url}/llm/room", json={})).status_code == httpx.codes.CREATED


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


@asynccontextmanager
async def _writer(stack: ClusteredStack, calls: Calls) -> AsyncIterator[LogWriter]:
    client: mongo.Client = AsyncMongoClient(
        stack.mongo_url, timeoutMS=3000, serverSelectionTimeoutMS=3000, event_listeners=[calls]
    )
    async with client:
        yield LogWriter(client[stack.database], uuid7(), give_up_s=30.0)


def _agrees(stack: ClusteredStack, name: str, room: str, sessions: list[str]) -> bool:
    return _writers_of(stack, name, room) == dict(enumerate(sessions, start=1))


def _writers_of(stack: ClusteredStack, name: str, room: str) -> dict[int, str]:
    """Return whose session wrote each rev, as this mongod has it for itself."""
    with MongoClient[Record](stack.address(name), directConnection=True) as client:
        found = client[stack.database][ROOM_LOG].find({"room": room}, sort=[("rev", 1)])
        return {each["rev"]: str(each["session"]) for each in found}


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


def _bring_back(stack: ClusteredStack, *names: str) -> None:
    stack.spawn(names)
    stack.wait_ready(names)


def _stands(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
