"""What every room log must do: the fake in memory and the one in MongoDB alike."""

from __future__ import annotations

from typing import Any

import pytest

from abbotik_contracts.large_content import apart
from abbotik_contracts.room_bodies import TextBlock
from abbotik_contracts.room_commands import PostMessage, RoomCommand
from abbotik_room_worker.adapters import room_log as real_room_log
from abbotik_room_worker.domain.decide import HolderCommand
from abbotik_room_worker.domain.draft import Refusal
from abbotik_room_worker.domain.requests import Circumstances
from abbotik_room_worker.domain.room import OpenCall, Room
from abbotik_room_worker.domain.turns import Step
from abbotik_room_worker.ports import RoomLog
from abbotik_room_worker.sealing import Sealed, seal, seal_refusal
from abbotik_runtime.log_writer import Answered, Committed, Lost
from tests.contract.conftest import Stores
from tests.unit.room_worker.rooms import (
    AROUND,
    ROOM,
    T0,
    TENANT,
    TURN,
    asked,
    claim,
    drafted,
    finish,
    held,
    message,
    patch,
    rent,
    uid,
)

KEY = (TENANT, ROOM)
FOREIGN = ("other", ROOM)


def sealed(
    log: RoomLog, room: Room | None, command: RoomCommand, around: Circumstances = AROUND
) -> Sealed:
    """Return what a caller's command leads to, ready to append."""
    decision = asked(room, command, begin=around.claim, around=around)
    return seal(drafted(decision), log.session, log.next_counter())


def sealed_held(log: RoomLog, room: Room, command: HolderCommand) -> Sealed:
    """Return what a worker's command leads to, ready to append."""
    return seal(drafted(held(room, command)), log.session, log.next_counter())


async def committed(log: RoomLog, one: Sealed) -> Room:
    """Append it, which must succeed, and return the room after it."""
    assert await log.append(one.entry) == Committed()
    return one.room


async def rented(log: RoomLog, **body: Any) -> Room:
    """Return a room that the log holds."""
    return await committed(log, sealed(log, None, rent(1, **body)))


async def running(log: RoomLog, room: Room) -> Room:
    """Return the room with the turn of message 2 running at `w1`."""
    begin = Circumstances("scripted", "scripted-1", claim=claim())
    return await committed(log, sealed(log, room, message(2), begin))


async def test_room_that_nobody_rented_is_not_there(stores: Stores) -> None:
    """Without an entry there is neither room nor key nor event."""
    log = stores.log("w1")
    assert await log.load(KEY) is None
    assert await log.by_key(KEY, uid(1)) is None
    assert await log.events_of_turn(KEY, TURN, 1) == []


async def test_room_is_its_newest_entry(stores: Stores) -> None:
    """Whoever loads gets the room as it was decided, to the last member, past rev 9 too."""
    log = stores.log("w1")
    room = await rented(log, purpose="größe", metadata={"$odd": {"a.b": [1.5, None]}})
    for number in range(2, 13):
        room = await committed(log, sealed(log, room, message(number)))
        assert await log.load(KEY) == room
    assert room.rev == 12
    assert await stores.log("w2").load(KEY) == room


async def test_configuration_comes_from_the_entry_that_changed_it(stores: Stores) -> None:
    """However many entries came after it."""
    log = stores.log("w1")
    room = await rented(log, purpose="first")
    room = await committed(log, sealed(log, room, patch(2, purpose="second")))
    for number in range(3, 6):
        room = await committed(log, sealed(log, room, message(number)))
    loaded = await log.load(KEY)
    assert loaded is not None
    assert loaded.config.purpose == "second"
    assert (await log.config(KEY, 1))["purpose"] == "first"
    assert (await log.config(KEY, 2))["purpose"] == "second"
    with pytest.raises(LookupError):
        await log.config(KEY, 3)


async def test_rev_that_is_taken_is_lost(stores: Stores) -> None:
    """Of two that saw the same rev one is in, and the other's entry is nowhere."""
    first, second = stores.log("w1"), stores.log("w2")
    room = await rented(first)
    winner = sealed(first, room, message(2, content="winner"))
    loser = sealed(second, room, message(3, content="loser"))
    await committed(first, winner)
    assert await second.append(loser.entry) == Lost()
    assert await second.load(KEY) == winner.room
    assert await second.by_key(KEY, uid(3)) is None


async def test_entry_that_is_sent_again_is_committed_once(stores: Stores) -> None:
    """Session and counter tell one's own entry from another's."""
    log = stores.log("w1")
    one = sealed(log, None, rent(1))
    await committed(log, one)
    assert await log.append(one.entry) == Committed()
    assert await log.load(KEY) == one.room


@pytest.mark.parametrize("stale", [True, False])
async def test_key_that_was_settled_is_answered(stores: Stores, stale: bool) -> None:
    """The entry that settled it is the answer, whether the rev is free or taken."""
    first, second = stores.log("w1"), stores.log("w2")
    before = await rented(first)
    settled = sealed(first, before, message(2))
    after = await committed(first, settled)
    again = sealed(second, before if stale else after, message(2))
    assert await second.append(again.entry) == Answered(settled.entry)
    assert await second.load(KEY) == after


async def test_any_key_of_an_entry_is_taken(stores: Stores) -> None:
    """A turn is not begun again by an entry with a new command, which nothing has settled yet."""
    first, second = stores.log("w1"), stores.log("w2")
    room = await running(first, await rented(first))
    room = await committed(first, sealed_held(first, room, finish(room)))
    begin = Circumstances("scripted", "scripted-1", claim=claim("w2"))
    again = sealed(second, room, message(5), begin)
    assert await second.append(again.entry) == Lost()
    assert await second.by_key(KEY, uid(5)) is None


async def test_key_gives_the_entry_as_it_was_written(stores: Stores) -> None:
    """Command, turn and output are all found under their ids."""
    log = stores.log("w1")
    room = await rented(log)
    begin = Circumstances("scripted", "scripted-1", claim=claim())
    began = sealed(log, room, message(2), begin)
    ended = sealed_held(log, await committed(log, began), finish(began.room))
    await committed(log, ended)
    assert await log.by_key(KEY, uid(2)) == began.entry
    assert await log.by_key(KEY, TURN) == began.entry
    assert await log.by_key(KEY, uid(990)) == ended.entry


async def test_another_tenant_sees_nothing(stores: Stores) -> None:
    """Whoever knows the ids of a foreign room learns nothing of it."""
    log = stores.log("w1")
    await running(log, await rented(log))
    assert await log.load(FOREIGN) is None
    assert await log.by_key(FOREIGN, uid(2)) is None
    assert await log.events_of_turn(FOREIGN, TURN, 1) == []
    with pytest.raises(LookupError):
        await stores.log("w2").content(FOREIGN, uid(2))
    with pytest.raises(LookupError):
        await log.config(FOREIGN, 1)


async def test_refusal_is_remembered_under_its_command(stores: Stores) -> None:
    """It takes a rev and a key, and a second refusal of the same command is answered by it."""
    log = stores.log("w1")
    room = await rented(log)
    refusal = Refusal("ROOM_BUSY", "busy", extra={"n": 1})
    first = seal_refusal(room, refusal, uid(9), T0, "w1", log.next_counter())
    await committed(log, first)
    again = seal_refusal(first.room, refusal, uid(9), T0, "w1", log.next_counter())
    assert await log.append(again.entry) == Answered(first.entry)


async def test_events_of_a_turn_come_in_order_over_all_pages(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only that turn's, from its first one on, whatever other entries lie between."""
    monkeypatch.setattr(real_room_log, "_PAGE", 3)
    log = stores.log("w1")
    room = await running(log, await rented(log))
    assert room.turn is not None
    first = room.turn.first_event_seq
    for number in range(8):
        call = OpenCall(f"c-{number}", "echo", idempotent=True)
        room = await committed(log, sealed_held(log, room, Step("w1", 1, TURN, opened=(call,))))
        room = await committed(log, sealed(log, room, message(20 + number)))
        refusal = Refusal("ROOM_BUSY", "busy")
        quiet = seal_refusal(room, refusal, uid(60 + number), T0, "w1", log.next_counter())
        room = await committed(log, quiet)
    ending = finish(room, next_claim=claim(turn=uid(901)))
    room = await committed(log, sealed_held(log, room, ending))
    events = await log.events_of_turn(KEY, TURN, first)
    assert [event["event_type"] for event in events] == [
        "room:active",
        "actor:turn_start",
        *["tool:start"] * 8,
        *["tool:end"] * 8,
        "actor:output",
        "actor:turn_end",
    ]
    seqs = [event["seq"] for event in events]
    assert seqs == sorted(seqs, key=lambda seq: int(str(seq)))
    assert [e["event_type"] for e in await log.events_of_turn(KEY, uid(901), first)] == [
        "actor:turn_start"
    ]


def _blocks(number: int, *texts: str) -> PostMessage:
    blocks = [TextBlock(type="text", text=text) for text in texts]
    command = message(number)
    return command.model_copy(update={"body": command.body.model_copy(update={"content": blocks})})


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_content_is_read_wherever_it_is_stored(stores: Stores, elsewhere: bool) -> None:
    """As text, as blocks, as a blob; by the worker that wrote it and by any other."""
    log = stores.log("w1")
    room = await rented(log)
    room = await committed(log, sealed(log, room, message(2, content="größe")))
    room = await committed(log, sealed(log, room, _blocks(3, "a", "b")))
    digest = await stores.contents.put(TENANT, "large größe".encode())
    around = Circumstances("scripted", "scripted-1", blob=digest)
    room = await committed(log, sealed(log, room, message(4), around))
    blocks = _blocks(5, "large", "größe")
    digest = await stores.contents.put(TENANT, apart(blocks.body.content))
    around = Circumstances("scripted", "scripted-1", blob=digest)
    room = await committed(log, sealed(log, room, blocks, around))
    reader = stores.log("w2") if elsewhere else log
    for _ in range(2):
        assert await reader.content(KEY, uid(2)) == "größe"
        assert await reader.content(KEY, uid(3)) == "a\nb"
        assert await reader.content(KEY, uid(4)) == "large größe"
        assert await reader.content(KEY, uid(5)) == "large\ngröße"


async def test_content_that_is_not_there_is_an_error(stores: Stores) -> None:
    """A message that the log does not hold has no text."""
    log = stores.log("w1")
    await rented(log)
    with pytest.raises(LookupError):
        await log.content(KEY, uid(2))


@pytest.mark.parametrize(
    "data", [b"", b"x", bytes(range(256)) * 4096], ids=["none", "one", "1 MiB"]
)
async def test_blob_comes_back_by_its_digest(stores: Stores, data: bytes) -> None:
    """The same bytes, however often they were stored, to their own tenant only."""
    digest = await stores.contents.put(TENANT, data)
    assert await stores.contents.put(TENANT, data) == digest
    assert len(digest) == 64
    assert await stores.contents.get(TENANT, digest) == data
    assert await stores.contents.get("other", digest) is None
    assert await stores.contents.get(TENANT, "0" * 64) is None


async def test_counters_go_up_from_one(stores: Stores) -> None:
    """Each worker counts its own entries."""
    first, second = stores.log("w1"), stores.log("w2")
    assert [first.next_counter() for _ in range(3)] == [1, 2, 3]
    assert second.next_counter() == 1
    assert (first.session, second.session) == ("w1", "w2")
