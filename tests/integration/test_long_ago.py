"""A command that comes again long after: its first outcome, for few calls of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from abbotik_contracts.room_bodies import MessageBody, RentBody
from abbotik_contracts.room_commands import (
    PatchChange,
    PatchRoom,
    PostMessage,
    RentRoom,
    RoomCommand,
)
from abbotik_contracts.room_log import Record
from abbotik_kernel.clock import CorrectedClock, SystemClock
from abbotik_room_worker.adapters.projections import MongoProjections
from abbotik_room_worker.adapters.room_log import MongoRoomLog
from abbotik_room_worker.adapters.sessions import MongoSessions
from abbotik_room_worker.domain.requests import Circumstances
from abbotik_room_worker.keeper import RoomKeeper
from abbotik_room_worker.progress import Progress
from abbotik_runtime import mongo
from abbotik_runtime.ids import uuid7
from abbotik_runtime.settings import ServiceSettings
from tests.fakes.room_worker.signals import FakeSignals

AROUND = Circumstances(provider="scripted", model="m", max_queue=64, claim=None, blob=None)
ROOM: dict[str, Any] = {"tenant": "acme", "room": uuid7(), "caller": "ada"}


class Calls(CommandListener):
    """Remembers what the driver asks of the log."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        """Note a call; projections go out by `update`, later, and nobody waits for them."""
        if event.command_name in ("insert", "find", "aggregate", "getMore"):
            self.names.append(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Take no note."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Take no note."""


@pytest.fixture
def calls() -> Calls:
    """Return the listener of the test's client."""
    return Calls()


@pytest.fixture
async def heard(
    mongo_url: str, settings: ServiceSettings, database: mongo.Database, calls: Calls
) -> AsyncIterator[mongo.Database]:
    """Yield the test's database through a client whose calls are counted."""
    client: mongo.Client = AsyncMongoClient(mongo_url, w="majority", event_listeners=[calls])
    yield client[database.name]
    await client.close()
    assert settings.mongo_database == database.name


def _keeper(database: mongo.Database) -> RoomKeeper:
    room_log, progress = MongoRoomLog(database, uuid7()), Progress()
    clock = CorrectedClock(SystemClock())
    sessions = MongoSessions(database, room_log.session, progress, clock)
    return RoomKeeper(
        room_log, MongoProjections(database), FakeSignals(), sessions, progress, clock
    )


@pytest.mark.parametrize("knows_the_room", [True, False])
async def test_first_outcome_for_three_calls(
    heard: mongo.Database, calls: Calls, *, knows_the_room: bool
) -> None:
    """Rent, message and patch alike, by the worker that has the room in memory and by another."""
    keeper = _keeper(heard)
    commands: list[RoomCommand] = [
        RentRoom(**ROOM, id=uuid7(), body=RentBody(purpose="first")),
        PostMessage(**ROOM, id=uuid7(), body=MessageBody(content="hello")),
        PatchRoom(**ROOM, id=uuid7(), body=PatchChange(patch={"purpose": "second"})),
    ]
    outcomes = [await _asked(keeper, command) for command in commands]
    for number in range(100):
        message = MessageBody(content="x", metadata={"number": number}, delivery="reject")
        await _asked(keeper, PostMessage(**ROOM, id=uuid7(), body=message))
    for command, outcome in zip(commands, outcomes, strict=True):
        asked = keeper if knows_the_room else _keeper(heard)
        calls.names.clear()
        assert await _asked(asked, command) == outcome
        assert len(calls.names) <= 3, calls.names
        await asked.drain()
    await keeper.drain()


async def _asked(keeper: RoomKeeper, command: RoomCommand) -> Record:
    return (await keeper.request(command, AROUND)).outcome
