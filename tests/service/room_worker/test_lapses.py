"""Workers that come back after others may have declared them dead: nothing counts twice."""

from __future__ import annotations

import asyncio

import pytest

from abbotik_contracts.room_log import Record
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.ports import RoomKey
from abbotik_runtime.log_reader import Configured
from tests.eventually import eventually
from tests.service.room_worker.holding import Counting, holding, taken_over
from tests.service.room_worker.house import TENANT, House, Worker


async def test_paused_worker_drops_its_turn_when_it_comes_back(house: House) -> None:
    """What it then tries to commit meets the other's epoch; nothing of it reaches the room."""
    zombie, other = await house.worker("w1"), await house.worker("w2")
    room = await holding(house, zombie, "!wait 5\n!tool echo {}\n!say zombie")
    other.pauses.hold()
    await house.expire(other)
    await other.care.recover()
    await other.pauses.reached.wait()
    await zombie.sessions.renew()
    zombie.pauses.go()
    await zombie.rested()
    assert house.payloads(room, "tool:start") == []
    assert not zombie.runner.runs((TENANT, room))
    other.pauses.go()
    await other.rested()
    assert len(house.outputs(room)) == 1
    assert {e["session"] for e in house.log(room) if e["state"]["epoch"] == 2} == {"w2"}


async def test_paused_worker_that_reads_first_drops_its_turn_too(house: House) -> None:
    """The look at its own rooms stops the turn before it tries anything."""
    zombie, other = await house.worker("w1"), await house.worker("w2")
    room = await holding(house, zombie, "!wait 5\n!say zombie")
    other.pauses.hold()
    await house.expire(other)
    await other.care.recover()
    await other.keeper.drain()
    await zombie.care.look_at_own_rooms()
    assert not zombie.runner.runs((TENANT, room))
    await zombie.rested()


async def _out_of_touch(house: House, holder: Worker) -> tuple[str, Counting]:
    """Return a room, and its tool, whose holder cannot renew and has come to the tool's call."""
    tool = Counting(idempotent=True)
    for worker in house.workers.values():
        worker.tools["count"] = tool
    room = await holding(house, holder, "!wait 5\n!stream 1 a b\n!tool count {}")
    house.clock.advance(60_000)
    paused, shown = len(holder.pauses.asked), len(house.signals.deltas)
    holder.pauses.go()
    await eventually(lambda: len(holder.pauses.asked) == paused + len("ab"))
    assert (len(house.signals.deltas), tool.ran, house.outputs(room)) == (shown, [], [])
    return room, tool


async def test_worker_out_of_touch_shows_and_starts_and_commits_nothing(house: House) -> None:
    """While it cannot renew, others may have the turn; it drops it when it sees that they do."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room, tool = await _out_of_touch(house, holder)
    entries = len(house.log(room))
    await taken_over(house, other)
    assert len(tool.ran) == 1
    assert house.log(room)[entries]["session"] == "w2"
    await holder.sessions.renew()
    await holder.care.look_at_own_rooms()
    await holder.rested()
    assert house.outputs(room) == ['a b\n{"ran": 1}']
    assert {entry["session"] for entry in house.log(room)[entries:]} == {"w2"}
    assert "error" not in house.types(room)


async def _between_call_and_effect(house: House, holder: Worker) -> tuple[str, Counting]:
    """Return a room, and its tool, whose call is in the log while the holder waits to hear so."""
    tool = Counting(idempotent=False)
    holder.tools["count"] = tool
    room = await holding(house, holder, "!wait 5\n!tool count {}")
    holder.room_log.at_reply.clear()
    holder.room_log.reply.clear()
    holder.pauses.go()
    await holder.room_log.at_reply.wait()
    house.clock.advance(60_000)
    return room, tool


async def test_tool_of_a_turn_that_was_lost_meanwhile_is_not_run(house: House) -> None:
    """Others have said in the log that nobody knows whether it was; who was lost looks first."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room, tool = await _between_call_and_effect(house, holder)
    holder.room_log.reply.set()
    await taken_over(house, other)
    await holder.sessions.renew()
    await holder.rested()
    assert tool.ran == []
    assert [end["error"]["code"] for end in house.payloads(room, "tool:end")] == [
        "TOOL_OUTCOME_UNKNOWN"
    ]


async def test_commit_that_is_heard_of_after_a_lapse_starts_nothing(house: House) -> None:
    """It says what the room was; the session was lost and renewed since, within a moment maybe."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room, tool = await _between_call_and_effect(house, holder)
    await taken_over(house, other)
    await holder.sessions.renew()
    holder.room_log.reply.set()
    await holder.rested()
    assert tool.ran == []
    assert house.types(room).count("actor:turn_end") == 1


async def test_call_that_was_left_open_is_not_run_after_a_lapse(house: House) -> None:
    """Its worker commits nothing before it runs one again, so it reads whether it still may."""
    dying, other, third = [await house.worker(name) for name in ("w1", "w2", "w3")]

    class Stuck(Counting):
        """A tool during which the worker dies."""

        async def __call__(self, arguments: Record) -> Record:
            """Sleep until killed."""
            dying.pauses.hold()
            await dying.pauses(1)
            return arguments

    again, once = Counting(idempotent=True), Counting(idempotent=True)
    dying.tools["count"] = Stuck(idempotent=True)
    other.tools["count"], third.tools["count"] = again, once
    await holding(house, dying, "!wait 5\n!tool count {}")
    dying.pauses.reached.clear()
    dying.pauses.go()
    await dying.pauses.reached.wait()
    await dying.killed()
    other.pauses.hold()
    await house.expire(other)
    await other.care.recover()
    await other.pauses.reached.wait()
    await taken_over(house, third)
    await other.sessions.renew()
    other.pauses.go()
    await other.rested()
    assert (again.ran, once.ran) == ([], [{}])


async def test_turn_that_was_lost_while_its_message_was_read_is_not_begun(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB may be away for as long as a takeover takes; the model is asked by its holder."""
    dying, other, third = [await house.worker(name) for name in ("w1", "w2", "w3")]
    room = await holding(house, dying, "!wait 5\n!say done")
    await dying.killed()
    content, asked, back = other.room_log.content, asyncio.Event(), asyncio.Event()

    async def late(key: RoomKey, message_id: str) -> str:
        asked.set()
        await back.wait()
        return await content(key, message_id)

    monkeypatch.setattr(other.room_log, "content", late)
    await house.expire(other)
    await other.care.recover()
    await asked.wait()
    await taken_over(house, third)
    await other.sessions.renew()
    back.set()
    await other.rested()
    assert other.pauses.asked == []
    assert house.outputs(room) == ["done"]


async def test_stop_cuts_no_question_whose_turn_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call of MongoDB's driver that is cut off may take the driver along."""
    holder = await house.worker()
    room = await holding(house, holder, "!wait 5\n!tool echo {}")
    load, asked, back = holder.room_log.load, asyncio.Event(), asyncio.Event()
    ends: list[str] = []

    async def late(key: RoomKey, known: Configured | None = None) -> Room | None:
        asked.set()
        try:
            await back.wait()
        finally:
            ends.append("in peace" if back.is_set() else "cut")
        return await load(key, known)

    house.clock.advance(60_000)
    await holder.sessions.renew()
    monkeypatch.setattr(holder.room_log, "load", late)
    holder.pauses.go()
    await asked.wait()
    holder.runner.slots.held[TENANT, room].performance.stop(hard=True)
    await asyncio.sleep(0)
    back.set()
    await holder.rested()
    assert set(ends) == {"in peace"}


async def test_worker_that_is_in_touch_again_goes_on(house: House) -> None:
    """Its epoch is still in the log: the same turn ends there, and nobody had to recover it."""
    holder = await house.worker()
    room, tool = await _out_of_touch(house, holder)
    await holder.sessions.renew()
    await holder.rested()
    assert len(tool.ran) == 1
    assert house.outputs(room) == ['a b\n{"ran": 1}']
    assert {"room:recovered", "error"}.isdisjoint(house.types(room))


async def test_worker_without_the_bus_ends_its_turn_and_claims_nothing(house: House) -> None:
    """It could not hear of its rooms; one that waits is left to others, also its own next one."""
    cut_off, other = await house.worker("w1"), await house.worker("w2")
    room = await holding(house, cut_off, "!wait 5\n!say first")
    await cut_off.ask(house.message(room, "!say second"))
    dead = await house.worker("w3")
    orphan = await holding(house, dead, "!wait 5\n!say orphan")
    await dead.killed()
    house.signals.away = True
    cut_off.pauses.go()
    await cut_off.rested()
    assert (house.outputs(room), house.status(room)) == (["first"], "idle")
    await house.expire(cut_off, other)
    await cut_off.care.recover()
    await cut_off.rested()
    assert house.outputs(orphan) == []
    house.signals.away = False
    await other.sweep()
    assert list(house.signals.triggers) == [(TENANT, room)]
    assert await other.take((TENANT, room)) is None
    await other.care.recover()
    await other.rested()
    assert (house.outputs(room), house.outputs(orphan)) == (["first", "second"], ["orphan"])
