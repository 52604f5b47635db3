"""MongoDB without a majority: nobody is told of anything, and nothing is there twice afterwards."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial

import httpx
import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from abbotik_runtime import mongo
from abbotik_runtime.ids import uuid7
from abbotik_runtime.log_reader import ROOM_LOG
from abbotik_runtime.log_writer import Committed, LogWriter, Lost
from tests.eventually import eventually
from tests.faults.clustered_stack import ClusteredStack
from tests.faults.history import Record
from tests.integration.test_log_writer import entry
from tests.servers import stop_clock

# Longer than a call of the store may take.
UNANSWERED_S = 4.0
# What two writers may send meanwhile.
CALLS = 8
# Longer than an election, and than a gateway takes to hear of it.
PATIENCE_S = 20.0


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
            stop_clock(stack.pids[name])
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
        stack.bring_back(primary)
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
            said = await eventually(lambda: _refused(http, stack.url), within_s=PATIENCE_S)
        assert said["reason"] == "store_slow"
        await eventually(lambda: _rents(http, stack.url), within_s=PATIENCE_S)


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
