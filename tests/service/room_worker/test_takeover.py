"""Workers that die: their rooms go on elsewhere."""

from __future__ import annotations

import itertools

import pytest

from abbotik_contracts.room_log import Record
from abbotik_room_worker.domain.takeover import MAX_RECOVERIES_WITHOUT_PROGRESS
from abbotik_room_worker.ports import RoomKey, UnavailableError
from tests.fakes.room_worker.sessions import EXPIRY_MS
from tests.service.room_worker.holding import Counting, holding, taken_over
from tests.service.room_worker.house import House


async def test_dead_workers_turn_goes_on_elsewhere(house: House) -> None:
    """The same turn, the next epoch, one answer; then the dead session is buried."""
    dying, other = await house.worker("w1"), await house.worker("w2")
    room = await holding(house, dying, "!wait 5\n!say done")
    await dying.killed()
    await taken_over(house, other)
    assert house.outputs(room) == ["done"]
    assert house.payloads(room, "room:recovered") == [{"epoch": 2, "previous_worker": "w1"}]
    assert house.types(room).count("actor:turn_start") == 1
    await other.care.recover()
    assert "w1" not in house.store.sessions


async def test_live_workers_keep_their_rooms(house: House) -> None:
    """Nobody takes a room from a worker that renews its session."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room = await holding(house, holder, "!wait 5\n!say done")
    await house.pass_time(10_000, holder, other)
    await other.care.recover()
    assert house.payloads(room, "room:recovered") == []


async def test_worker_that_was_out_of_touch_declares_nobody_dead(house: House) -> None:
    """After a failover everybody looks dead; only a full expiry of own renewals counts."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room = await holding(house, holder, "!wait 5\n!say done")
    house.clock.advance(60_000)
    await other.sessions.renew()
    await other.care.recover()
    assert house.payloads(room, "room:recovered") == []


async def test_settled_calls_are_not_run_again(house: House) -> None:
    """The next holder answers them from the log and runs only what is left."""
    dying, other = await house.worker("w1"), await house.worker("w2")
    first, second = Counting(idempotent=False), Counting(idempotent=False)
    dying.tools["count"], other.tools["count"] = first, second
    room = await holding(house, dying, '!tool count {"n":1}\n!wait 5\n!tool count {"n":2}')
    await dying.killed()
    await taken_over(house, other)
    assert (first.ran, second.ran) == ([{"n": 1}], [{"n": 2}])
    assert house.outputs(room) == ['{"ran": 1}\n{"ran": 1}']
    assert len(house.payloads(room, "tool:start")) == 2
    assert house.log(room)[-1]["state"]["usage"]["tool_calls"] == 2


async def test_settled_calls_are_answered_once_however_often_they_were_read(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read after them may have to be waited for, and then they are read again."""
    dying, other = await house.worker("w1"), await house.worker("w2")
    first, second = Counting(idempotent=False), Counting(idempotent=False)
    dying.tools["count"], other.tools["count"] = first, second
    content, tries = other.room_log.content, itertools.count()

    async def late(key: RoomKey, message_id: str) -> str:
        if next(tries) == 0:
            raise UnavailableError("not yet")
        return await content(key, message_id)

    monkeypatch.setattr(other.room_log, "content", late)
    room = await holding(house, dying, '!tool count {"n":1}\n!wait 5\n!tool count {"n":2}')
    await dying.killed()
    await taken_over(house, other)
    assert (first.ran, second.ran) == ([{"n": 1}], [{"n": 2}])
    assert len(house.payloads(room, "tool:end")) == 2


@pytest.mark.parametrize("idempotent", [True, False])
async def test_call_that_was_left_open_runs_again_only_if_it_may(
    house: House, idempotent: bool
) -> None:
    """An idempotent tool runs again under its call id; the outcome of another is unknown."""
    dying, other = await house.worker("w1"), await house.worker("w2")

    class Stuck(Counting):
        """A tool during which the worker dies."""

        async def __call__(self, arguments: Record) -> Record:
            """Sleep until killed."""
            await dying.pauses(1)
            return arguments

    tool = Counting(idempotent=idempotent)
    dying.tools["count"], other.tools["count"] = Stuck(idempotent=idempotent), tool
    room = await holding(house, dying, "!tool count {}\n!tool count {}")
    await dying.killed()
    await taken_over(house, other)
    starts, ends = house.payloads(room, "tool:start"), house.payloads(room, "tool:end")
    assert [end["call_id"] for end in ends] == [start["call_id"] for start in starts]
    assert len(ends) == 2
    if idempotent:
        assert len(tool.ran) == 2
        assert [end["status"] for end in ends] == ["completed", "completed"]
    else:
        assert len(tool.ran) == 1
        assert ends[0]["error"]["code"] == "TOOL_OUTCOME_UNKNOWN"


async def test_own_orphan_is_begun_again(house: House) -> None:
    """A room that this session holds and that no task runs is found and run."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.room_log.weather.append("unheard")
    await worker.handle(house.message(room, "!say found"))
    await worker.rested()
    assert house.log(room)[-1]["state"]["lease"] == {"session": "w1", "epoch": 1}
    assert house.outputs(room) == []
    house.store.rooms[room]["session"] = "w1"
    await worker.care.recover()
    await worker.rested()
    assert house.outputs(room) == ["found"]


async def test_turn_that_kills_its_workers_is_stopped(house: House) -> None:
    """After too many lost workers without a step the turn fails with its cause."""
    dying = await house.worker("w1")
    room = await holding(house, dying, "!wait 5\n!say done")
    for number in range(MAX_RECOVERIES_WITHOUT_PROGRESS + 1):
        following = await house.worker(f"w{number + 2}")
        following.pauses.hold()
        await dying.killed()
        await house.expire(following)
        await following.care.recover()
        dying = following
    await dying.rested()
    assert house.status(room) == "failed"
    assert house.payloads(room, "error")[0]["code"] == "TURN_POISONED"


async def test_release_of_a_dead_workers_room_is_carried_out(house: House) -> None:
    """A releasing room whose holder died is released by whoever takes it over."""
    dying, other = await house.worker("w1"), await house.worker("w2")
    room = await holding(house, dying, "!wait 5")
    await dying.killed()
    await other.ask(house.release(room, result="r"))
    await taken_over(house, other)
    assert house.status(room) == "released"
    assert house.log(room)[-1]["state"]["result"] == "r"


async def test_room_of_a_buried_session_is_taken_over(house: House) -> None:
    """A claim that was committed after its worker's burial has an owner again within a sweep."""
    lost, other = await house.worker("w1"), await house.worker("w2")
    room = await house.rent(lost)
    lost.pauses.hold()
    await lost.ask(house.message(room, "!wait 5\n!say done"))
    await lost.pauses.reached.wait()
    await lost.keeper.drain()
    await lost.killed()
    await house.pass_time(2 * EXPIRY_MS, other)
    await other.sessions.forget("w1")
    await other.care.recover()
    await other.rested()
    assert house.outputs(room) == ["done"]
    assert house.payloads(room, "room:recovered") == [{"epoch": 2, "previous_worker": "w1"}]
