"""Writing the log on a real server: batches, races, keys, tokens, unknown outcomes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from bson import encode
from pymongo import AsyncMongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from abbotik_contracts.room_log import LogEntry, entry_id
from abbotik_runtime import log_writer, mongo
from abbotik_runtime.ids import uuid7
from abbotik_runtime.log_reader import ROOM_LOG
from abbotik_runtime.log_writer import (
    Answered,
    Committed,
    EntryRefusedError,
    LogWriter,
    Lost,
    UnknownOutcomeError,
)
from abbotik_runtime.settings import ServiceSettings
from tests.integration.cutting_proxy import CuttingProxy


def entry(writer: LogWriter, room: str, rev: int = 1, **members: Any) -> LogEntry:
    """Return an entry of the writer as far as the log looks at it."""
    bare: dict[str, Any] = {
        "_id": entry_id(room, rev),
        "tenant": "acme",
        "room": room,
        "rev": rev,
        "session": writer.session,
        "counter": writer.next_counter(),
        "at": 0,
        "last_event_seq": rev,
        "last_message_seq": 0,
        "state": {},
    }
    return cast("LogEntry", {**bare, **members})


def deep(levels: int) -> dict[str, Any]:
    """Return an object that is nested so many times."""
    nested: dict[str, Any] = {}
    for _ in range(levels):
        nested = {"a": nested}
    return nested


class Inserts(CommandListener):
    """Counts the documents of each insert that the driver sends."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def started(self, event: CommandStartedEvent) -> None:
        """Note an insert; its documents are apart from the command, so their count is too."""
        if event.command_name == "insert":
            self.sizes.append(len(event.command["documents"]))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Take no note."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Take no note."""


class Held:
    """The database, which gets an insert only once it is let go."""

    def __init__(self, database: mongo.Database) -> None:
        self.sizes: list[int] = []
        self.let_go = asyncio.Event()
        self._database = database

    async def command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Keep the insert back, then send it."""
        self.sizes.append(len(command["documents"]))
        await self.let_go.wait()
        return await self._database.command(command)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def __getitem__(self, name: str) -> Any:
        return self._database[name]


async def _there(database: mongo.Database) -> dict[str, dict[str, Any]]:
    return {found["_id"]: found async for found in database[ROOM_LOG].find()}


async def test_entries_that_are_pending_together_share_inserts(
    settings: ServiceSettings, database: mongo.Database
) -> None:
    """200 rooms at once are far fewer inserts than entries, and each is there, once."""
    inserts = Inserts()
    client: mongo.Client = AsyncMongoClient(settings.mongo_url, event_listeners=[inserts])
    writer = LogWriter(client[database.name], uuid7())
    entries = [entry(writer, uuid7()) for _ in range(200)]
    answers = await asyncio.gather(*map(writer.append, entries))
    await client.close()
    assert answers == [Committed()] * 200
    assert sum(inserts.sizes) == 200
    assert len(inserts.sizes) <= 10
    assert sorted(await _there(database)) == sorted(each["_id"] for each in entries)


async def test_lonely_entry_does_not_linger(database: mongo.Database) -> None:
    """One entry goes out by itself, at once."""
    writer = LogWriter(database, uuid7())
    async with asyncio.timeout(2):
        assert await writer.append(entry(writer, uuid7())) == Committed()


async def test_second_insert_leaves_beside_the_first_when_it_is_large_enough(
    database: mongo.Database,
) -> None:
    """A few entries wait for the insert in flight; many do not, but a third insert does."""
    held = Held(database)
    writer = LogWriter(cast("mongo.Database", held), uuid7())
    under_way: list[asyncio.Task[log_writer.Appended]] = []

    async def append(count: int) -> list[int]:
        under_way.extend(
            asyncio.ensure_future(writer.append(entry(writer, uuid7()))) for _ in range(count)
        )
        # A round trip takes more rounds of the loop than an insert needs to leave.
        await database.command("ping")
        return held.sizes

    assert await append(1) == [1]
    assert await append(15) == [1]
    assert await append(1) == [1, 16]
    assert await append(40) == [1, 16]
    held.let_go.set()
    assert await asyncio.gather(*under_way) == [Committed()] * 57
    assert held.sizes == [1, 16, 40]
    assert len(await _there(database)) == 57


async def test_of_two_writers_one_wins(database: mongo.Database) -> None:
    """The same rev twice at the same moment: one is in, the other is told that it is not."""
    for _ in range(20):
        room = uuid7()
        writers = [LogWriter(database, uuid7()), LogWriter(database, uuid7())]
        entries = [entry(writer, room) for writer in writers]
        answers = await asyncio.gather(
            *(w.append(e) for w, e in zip(writers, entries, strict=True))
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["Committed", "Lost"]
        winner = writers[answers.index(Committed())]
        stored = await database[ROOM_LOG].find_one({"_id": entry_id(room, 1)})
        assert stored is not None
        assert stored["session"] == winner.session


async def test_command_that_comes_twice_is_answered_by_its_first_entry(
    database: mongo.Database,
) -> None:
    """Another rev, the same command id: the entry that settled it is the answer."""
    room, command = uuid7(), uuid7()
    first, second = LogWriter(database, uuid7()), LogWriter(database, uuid7())
    settled = entry(first, room, keys=[command], answer={"kind": "room"})
    assert await first.append(settled) == Committed()
    again = await second.append(entry(second, room, 2, keys=[command, uuid7()]))
    assert again == Answered(settled)
    assert len(await _there(database)) == 1


async def test_command_that_lost_the_race_to_itself_is_answered(database: mongo.Database) -> None:
    """The same rev and the same command id from two workers: the loser learns the answer."""
    room, command = uuid7(), uuid7()
    writers = [LogWriter(database, uuid7()), LogWriter(database, uuid7())]
    entries = [entry(writer, room, keys=[command]) for writer in writers]
    answers = await asyncio.gather(*(w.append(e) for w, e in zip(writers, entries, strict=True)))
    winner = entries[answers.index(Committed())]
    answers.remove(Committed())
    assert answers == [Answered(winner)]


async def test_same_command_id_in_another_room_is_another_command(database: mongo.Database) -> None:
    """Keys are of one room of one tenant."""
    writer, command = LogWriter(database, uuid7()), uuid7()
    for tenant in ("acme", "other"):
        fresh = entry(writer, uuid7(), keys=[command], tenant=tenant)
        assert await writer.append(fresh) == Committed()


async def test_entry_that_is_too_large_is_refused_alone(
    database: mongo.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never joins a batch; those that are pending with it are committed."""
    monkeypatch.setattr(log_writer, "MAX_ENTRY_BYTES", 10_000)
    writer = LogWriter(database, uuid7())
    large = entry(writer, uuid7(), messages=[{"content": "x" * 10_000}])
    mates = [entry(writer, uuid7()) for _ in range(5)]
    answers = await asyncio.gather(
        *map(writer.append, [*mates[:2], large, *mates[2:]]), return_exceptions=True
    )
    assert isinstance(answers[2], EntryRefusedError)
    assert [*answers[:2], *answers[3:]] == [Committed()] * 5
    assert sorted(await _there(database)) == sorted(mate["_id"] for mate in mates)


@pytest.mark.parametrize("levels", [185, 250])
async def test_entry_that_mongodb_cannot_take_is_refused_alone(
    database: mongo.Database, levels: int
) -> None:
    """Too deep for the server, even so deep that it reads nothing of the batch: one is refused."""
    writer = LogWriter(database, uuid7(), give_up_s=0.5)
    bad = entry(writer, uuid7(), config=deep(levels))
    mates = [entry(writer, uuid7()) for _ in range(9)]
    async with asyncio.timeout(3):
        answers = await asyncio.gather(
            *map(writer.append, [*mates[:4], bad, *mates[4:]]), return_exceptions=True
        )
    assert isinstance(answers[4], EntryRefusedError)
    assert [*answers[:4], *answers[5:]] == [Committed()] * 9


async def test_entry_that_cannot_be_encoded_is_the_callers_error(database: mongo.Database) -> None:
    """It is found out before it joins a batch."""
    writer = LogWriter(database, uuid7())
    with pytest.raises(OverflowError):
        await writer.append(entry(writer, uuid7(), config={"n": 10**30}))
    assert await writer.append(entry(writer, uuid7())) == Committed()


async def test_write_that_was_applied_unheard_is_committed(
    proxy: CuttingProxy, behind: mongo.Database
) -> None:
    """The connection dies after the insert was carried out: the resend meets its own token."""
    writer = LogWriter(behind, uuid7())
    await behind[ROOM_LOG].find_one()
    proxy.cuts = 1
    mine = entry(writer, uuid7(), keys=[uuid7()])
    assert await writer.append(mine) == Committed()
    assert proxy.inserts == 2
    assert list(await _there(behind)) == [mine["_id"]]


async def test_batch_that_was_applied_unheard_is_committed(
    proxy: CuttingProxy, behind: mongo.Database
) -> None:
    """All of a batch find themselves again, and so does whoever came meanwhile."""
    writer = LogWriter(behind, uuid7())
    await behind[ROOM_LOG].find_one()
    proxy.cuts = 3
    entries = [entry(writer, uuid7()) for _ in range(50)]
    assert await asyncio.gather(*map(writer.append, entries)) == [Committed()] * 50
    assert len(await _there(behind)) == 50


async def test_write_that_was_never_applied_is_sent_again(
    proxy: CuttingProxy, behind: mongo.Database
) -> None:
    """The connection dies before the insert reached the server: the resend is the first."""
    writer = LogWriter(behind, uuid7())
    await behind[ROOM_LOG].find_one()
    proxy.drops = 2
    assert await writer.append(entry(writer, uuid7())) == Committed()
    assert proxy.inserts == 3


async def test_race_that_was_lost_while_nothing_was_known_is_lost(
    proxy: CuttingProxy, behind: mongo.Database, database: mongo.Database
) -> None:
    """Another's entry took the rev before the resend: its token is not ours."""
    room = uuid7()
    mine, other = LogWriter(behind, uuid7()), LogWriter(database, uuid7())
    await behind[ROOM_LOG].find_one()
    proxy.drops = 1
    pending = asyncio.ensure_future(mine.append(entry(mine, room)))
    await proxy.arrived.wait()
    assert await other.append(entry(other, room)) == Committed()
    assert await pending == Lost()


async def test_write_that_is_applied_late_finds_itself_there(
    proxy: CuttingProxy, behind: mongo.Database
) -> None:
    """The resend was quicker: what comes behind it changes nothing."""
    writer = LogWriter(behind, uuid7())
    await behind[ROOM_LOG].find_one()
    proxy.delays = 1
    mine = entry(writer, uuid7(), keys=[uuid7()])
    assert await writer.append(mine) == Committed()
    await proxy.deliver()
    assert list(await _there(behind)) == [mine["_id"]]


async def test_write_that_is_applied_after_its_command_came_again_is_refused(
    proxy: CuttingProxy, behind: mongo.Database, database: mongo.Database
) -> None:
    """Nobody knew of it, another worker decided anew: by its key it cannot count twice."""
    room, command = uuid7(), uuid7()
    mine = LogWriter(behind, uuid7(), give_up_s=0.2)
    other = LogWriter(database, uuid7())
    await behind[ROOM_LOG].find_one()
    proxy.delays = 1000
    with pytest.raises(UnknownOutcomeError):
        await mine.append(entry(mine, room, rev=1, keys=[command]))
    between, again = entry(other, room, rev=1), entry(other, room, rev=2, keys=[command])
    assert await other.append(between) == Committed()
    assert await other.append(again) == Committed()
    await proxy.deliver()
    there = await _there(database)
    assert {found["_id"]: found["session"] for found in there.values()} == {
        between["_id"]: other.session,
        again["_id"]: other.session,
    }


async def test_late_write_that_comes_first_is_the_answer(
    proxy: CuttingProxy, behind: mongo.Database, database: mongo.Database
) -> None:
    """Applied after all, before its command came again: that one is answered by it."""
    room, command = uuid7(), uuid7()
    mine = LogWriter(behind, uuid7(), give_up_s=0.2)
    other = LogWriter(database, uuid7())
    await behind[ROOM_LOG].find_one()
    proxy.delays = 1000
    with pytest.raises(UnknownOutcomeError):
        await mine.append(entry(mine, room, rev=1, keys=[command]))
    await proxy.deliver()
    answered = await other.append(entry(other, room, rev=2, keys=[command]))
    assert isinstance(answered, Answered)
    assert answered.entry["session"] == mine.session
    assert len(await _there(database)) == 1


async def test_giving_up_says_that_nothing_is_known(
    proxy: CuttingProxy, behind: mongo.Database
) -> None:
    """When no answer comes in time the caller learns just that; the entry may be there."""
    writer = LogWriter(behind, uuid7(), give_up_s=0.2)
    await behind[ROOM_LOG].find_one()
    proxy.cuts = 1000
    with pytest.raises(UnknownOutcomeError):
        await writer.append(entry(writer, uuid7()))
    proxy.cuts = 0
    assert await writer.append(entry(writer, uuid7())) == Committed()
    assert len(await _there(behind)) == 2


async def test_others_do_not_wait_for_an_unknown_outcome(
    proxy: CuttingProxy, behind: mongo.Database
) -> None:
    """While one batch is asked about, the next ones go on."""
    writer = LogWriter(behind, uuid7())
    await behind[ROOM_LOG].find_one()
    proxy.drops = 1
    unlucky = asyncio.ensure_future(writer.append(entry(writer, uuid7())))
    await proxy.arrived.wait()
    assert await writer.append(entry(writer, uuid7())) == Committed()
    assert await unlucky == Committed()


async def test_counters_are_never_used_twice(database: mongo.Database) -> None:
    """With its session a counter is the token of an entry."""
    writer = LogWriter(database, uuid7())
    counters = [writer.next_counter() for _ in range(100)]
    assert counters == list(range(1, 101))
    assert len(encode(cast("dict[str, Any]", entry(writer, uuid7())))) < 400
