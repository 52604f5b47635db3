"""Reading the log on a real server: pages, turns, tenants."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from abbotik_contracts.room_commands import RoomCommand
from abbotik_contracts.room_log import first_event_seq
from abbotik_contracts.room_views import running_turn, wire_events
from abbotik_room_worker.adapters.room_log import MongoContents, MongoRoomLog
from abbotik_room_worker.domain.draft import Decision, Refusal
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.ports import UnavailableError
from abbotik_room_worker.sealing import seal, seal_refusal
from abbotik_runtime import mongo
from abbotik_runtime.ids import uuid7
from abbotik_runtime.log_reader import RoomLogReader, RoomLogScope
from abbotik_runtime.log_writer import Committed
from tests.unit.room_worker.rooms import (
    ROOM,
    T0,
    TENANT,
    asked,
    claim,
    drafted,
    finish,
    held,
    interrupt,
    message,
    patch,
    rent,
    uid,
)

KEY = (TENANT, ROOM)


class Story:
    """A room whose log is written decision by decision."""

    def __init__(self, database: mongo.Database) -> None:
        self.log = MongoRoomLog(database, uuid7())
        self.room: Room | None = None

    async def add(self, decision: Decision) -> Room:
        """Commit a draft."""
        sealed = seal(drafted(decision), self.log.session, self.log.next_counter())
        assert await self.log.append(sealed.entry) == Committed()
        self.room = sealed.room
        return sealed.room

    async def ask(self, command: RoomCommand, turn: int | None = None) -> Room:
        """Commit a caller's command, with a turn where a number for it is given."""
        begin = None if turn is None else claim(turn=uid(turn))
        return await self.add(asked(self.room, command, begin=begin))

    async def end(self, number: int, **members: Any) -> Room:
        """Commit the end of the running turn, with an output of that id."""
        assert self.room is not None
        return await self.add(held(self.room, finish(self.room, output_id=uid(number), **members)))

    async def refuse(self, number: int) -> None:
        """Commit a refusal, which has no events."""
        assert self.room is not None
        refusal = Refusal("ROOM_BUSY", "busy")
        counter = self.log.next_counter()
        sealed = seal_refusal(self.room, refusal, uid(number), T0, self.log.session, counter)
        assert await self.log.append(sealed.entry) == Committed()
        self.room = sealed.room


@pytest.fixture
async def scope(database: mongo.Database) -> RoomLogScope:
    """Return the log of a room with four turns, refusals, an interrupt and patches in between."""
    story = Story(database)
    await story.ask(rent(1, purpose="first"))
    for number in range(4):
        await story.ask(message(10 + number), turn=100 + number)
        await story.refuse(20 + number)
        await story.ask(interrupt(30 + number))
        await story.end(40 + number)
    await story.ask(patch(50, purpose="second"))
    await story.ask(message(14))
    await story.ask(message(15))
    return RoomLogReader(database).of(*KEY)


def _seqs(entries: list[Any]) -> list[int]:
    return [cast("int", event["seq"]) for entry in entries for event in wire_events(entry)]


async def test_last_entry_is_the_room(scope: RoomLogScope) -> None:
    """The newest entry, and the configuration of the entry that changed it last."""
    last, found = await scope.last(), await scope.room()
    assert last is not None
    assert found is not None
    entry, config = found
    assert entry == last
    assert (entry["rev"], config["purpose"]) == (20, "second")
    first = await scope.at(1)
    assert first is not None
    assert first["config"]["purpose"] == "first"
    assert await scope.at(99) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
async def test_events_page_forward_without_a_hole(scope: RoomLogScope, limit: int) -> None:
    """Page by page from the beginning, every event once, in order, whatever the page's size."""
    last = await scope.last()
    assert last is not None
    seen: list[int] = []
    after = 0
    while after < last["last_event_seq"]:
        page = await scope.events_after(after, limit)
        assert len(page) <= limit
        seen += [seq for seq in _seqs(page) if seq > after]
        after = page[-1]["last_event_seq"]
    assert seen == list(range(1, last["last_event_seq"] + 1))


async def test_events_after_begin_with_the_entry_that_holds_the_next(scope: RoomLogScope) -> None:
    """A cursor in the middle of an entry gets that entry, whole."""
    last = await scope.last()
    assert last is not None
    for cursor in range(last["last_event_seq"]):
        page = await scope.events_after(cursor, 3)
        with_events = next(entry for entry in page if "events" in entry)
        assert first_event_seq(with_events) <= cursor + 1 <= with_events["last_event_seq"]
    assert await scope.events_after(last["last_event_seq"]) == []


async def test_events_before_end_with_the_entry_that_holds_the_last(scope: RoomLogScope) -> None:
    """Every event below the cursor is on the page or before it, ascending, none twice."""
    last = await scope.last()
    assert last is not None
    for cursor in range(1, last["last_event_seq"] + 2):
        page = await scope.events_before(cursor, 500)
        assert [seq for seq in _seqs(page) if seq < cursor] == list(range(1, cursor))
    newest = await scope.events_before(last["last_event_seq"] + 1, 4)
    assert _seqs(newest)[-1] == last["last_event_seq"]


async def test_messages_page_both_ways(scope: RoomLogScope) -> None:
    """Entries with messages only, ascending, from above or below a seq."""
    entries = await scope.messages_after(0)
    seqs = [message["seq"] for entry in entries for message in entry["messages"]]
    assert seqs == list(range(1, 11))
    third = await scope.messages_after(3, 2)
    assert [entry["last_message_seq"] for entry in third] == [4, 5]
    below = await scope.messages_before(4, 2)
    assert [entry["last_message_seq"] for entry in below] == [2, 3]
    assert await scope.messages_before(1) == []
    assert await scope.messages_after(10) == []


async def test_turns_are_found_by_their_messages(scope: RoomLogScope) -> None:
    """Each message's turn once it has ended; messages without a turn have none."""
    turns = await scope.ended_turns(1, 10)
    assert {seq: (turn["id"], turn["status"]) for seq, turn in turns.items()} == {
        1: (uid(100), "completed"),
        3: (uid(101), "completed"),
        5: (uid(102), "completed"),
        7: (uid(103), "completed"),
    }
    assert list(await scope.ended_turns(2, 4)) == [3]


async def test_entry_that_ends_a_turn_and_begins_the_next_tells_of_both(
    database: mongo.Database,
) -> None:
    """The first is among the turns that have ended, the second one runs."""
    story = Story(database)
    await story.ask(rent(1))
    await story.ask(message(10), turn=100)
    await story.ask(message(11))
    await story.end(40, next_claim=claim(turn=uid(101)))
    scope = RoomLogReader(database).of(*KEY)
    turns = await scope.ended_turns(1, 2)
    assert {seq: turn["status"] for seq, turn in turns.items()} == {1: "completed"}
    newest = await scope.last()
    assert newest is not None
    running = running_turn(newest["state"])
    assert running is not None
    assert (running["id"], running["message_seq"], running["status"]) == (uid(101), 2, "running")


async def test_another_tenant_reads_nothing(scope: RoomLogScope, database: mongo.Database) -> None:
    """No read of a scope returns what is not its own."""
    assert await scope.last() is not None
    foreign = RoomLogReader(database).of("other", ROOM)
    assert await foreign.last() is None
    assert await foreign.room() is None
    assert await foreign.at(1) is None
    assert await foreign.by_key(uid(1)) is None
    assert await foreign.events_after(0) == await foreign.events_before(99) == []
    assert await foreign.messages_after(0) == await foreign.messages_before(99) == []
    assert await foreign.ended_turns(1, 99) == {}


async def test_room_whose_id_begins_like_another_is_apart(database: mongo.Database) -> None:
    """The range over `_id` takes no entry of a neighbour."""
    reader = RoomLogReader(database)
    neighbours = [ROOM[:-1] + "1", ROOM[:-1] + "2"]
    for room in neighbours:
        log = MongoRoomLog(database, uuid7())
        command = rent(1).model_copy(update={"room": room})
        sealed = seal(drafted(asked(None, command)), log.session, log.next_counter())
        assert await log.append(sealed.entry) == Committed()
    last = await reader.of(TENANT, neighbours[0]).last()
    assert last is not None
    assert last["room"] == neighbours[0]
    assert await reader.of(TENANT, ROOM).last() is None


async def test_store_that_is_away_is_said_so() -> None:
    """Every call of the ports raises their own error with the driver's as its cause."""
    client: mongo.Client = AsyncMongoClient(
        "mongodb://127.0.0.1:1/", timeoutMS=100, serverSelectionTimeoutMS=100
    )
    log, contents = MongoRoomLog(client["x"], uuid7()), MongoContents(client["x"])
    failures = await asyncio.gather(
        log.load(KEY),
        log.by_key(KEY, uid(1)),
        log.events_of_turn(KEY, uid(1), 1),
        log.content(KEY, uid(1)),
        log.config(KEY, 1),
        contents.put(TENANT, b"x"),
        contents.get(TENANT, "0" * 64),
        return_exceptions=True,
    )
    assert [type(failure) for failure in failures] == [UnavailableError] * 7
    for failure in failures:
        assert isinstance(failure, UnavailableError)
        assert isinstance(failure.__cause__, PyMongoError)
    await client.close()
