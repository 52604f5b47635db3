"""Workers that die, are paused, or are told to stop: their rooms go on elsewhere."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from abbotik_contracts.room_log import Record
from abbotik_kernel.outcome import Done
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.domain.takeover import MAX_RECOVERIES_WITHOUT_PROGRESS
from abbotik_room_worker.ports import RoomKey, UnavailableError
from abbotik_runtime.log_reader import Configured
from tests.eventually import eventually
from tests.fakes.room_worker.sessions import EXPIRY_MS
from tests.service.room_worker.house import TENANT, House, Worker


class Counting:
    """A tool that counts how often it ran."""

    def __init__(self, *, idempotent: bool) -> None:
        self.idempotent = idempotent
        self.ran: list[Record] = []

    async def __call__(self, arguments: Record) -> Record:
        """Run once."""
        self.ran.append(arguments)
        return {"ran": len(self.ran)}


async def _holding(house: House, worker: Worker, content: str) -> str:
    """Return a room whose turn runs at the worker and sleeps at its first pause."""
    room = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(room, content))
    await worker.pauses.reached.wait()
    return room


async def _taken_over(house: House, worker: Worker) -> None:
    """Let the others be dead and have the worker recover what they held, until all rests."""
    await house.expire(worker)
    await worker.care.recover()
    await worker.rested()


async def test_dead_workers_turn_goes_on_elsewhere(house: House) -> None:
    """The same turn, the next epoch, one answer; then the dead session is buried."""
    dying, other = await house.worker("w1"), await house.worker("w2")
    room = await _holding(house, dying, "!wait 5\n!say done")
    await dying.killed()
    await _taken_over(house, other)
    assert house.outputs(room) == ["done"]
    assert house.payloads(room, "room:recovered") == [{"epoch": 2, "previous_worker": "w1"}]
    assert house.types(room).count("actor:turn_start") == 1
    await other.care.recover()
    assert "w1" not in house.store.sessions


async def test_live_workers_keep_their_rooms(house: House) -> None:
    """Nobody takes a room from a worker that renews its session."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room = await _holding(house, holder, "!wait 5\n!say done")
    await house.pass_time(10_000, holder, other)
    await other.care.recover()
    assert house.payloads(room, "room:recovered") == []


async def test_worker_that_was_out_of_touch_declares_nobody_dead(house: House) -> None:
    """After a failover everybody looks dead; only a full expiry of own renewals counts."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room = await _holding(house, holder, "!wait 5\n!say done")
    house.clock.advance(60_000)
    await other.sessions.renew()
    await other.care.recover()
    assert house.payloads(room, "room:recovered") == []


async def test_settled_calls_are_not_run_again(house: House) -> None:
    """The next holder answers them from the log and runs only what is left."""
    dying, other = await house.worker("w1"), await house.worker("w2")
    first, second = Counting(idempotent=False), Counting(idempotent=False)
    dying.tools["count"], other.tools["count"] = first, second
    room = await _holding(house, dying, '!tool count {"n":1}\n!wait 5\n!tool count {"n":2}')
    await dying.killed()
    await _taken_over(house, other)
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
    room = await _holding(house, dying, '!tool count {"n":1}\n!wait 5\n!tool count {"n":2}')
    await dying.killed()
    await _taken_over(house, other)
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
    room = await _holding(house, dying, "!tool count {}\n!tool count {}")
    await dying.killed()
    await _taken_over(house, other)
    starts, ends = house.payloads(room, "tool:start"), house.payloads(room, "tool:end")
    assert [end["call_id"] for end in ends] == [start["call_id"] for start in starts]
    assert len(ends) == 2
    if idempotent:
        assert len(tool.ran) == 2
        assert [end["status"] for end in ends] == ["completed", "completed"]
    else:
        assert len(tool.ran) == 1
        assert ends[0]["error"]["code"] == "TOOL_OUTCOME_UNKNOWN"


async def test_paused_worker_drops_its_turn_when_it_comes_back(house: House) -> None:
    """What it then tries to commit meets the other's epoch; nothing of it reaches the room."""
    zombie, other = await house.worker("w1"), await house.worker("w2")
    room = await _holding(house, zombie, "!wait 5\n!tool echo {}\n!say zombie")
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
    room = await _holding(house, zombie, "!wait 5\n!say zombie")
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
    room = await _holding(house, holder, "!wait 5\n!stream 1 a b\n!tool count {}")
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
    await _taken_over(house, other)
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
    room = await _holding(house, holder, "!wait 5\n!tool count {}")
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
    await _taken_over(house, other)
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
    await _taken_over(house, other)
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
    await _holding(house, dying, "!wait 5\n!tool count {}")
    dying.pauses.reached.clear()
    dying.pauses.go()
    await dying.pauses.reached.wait()
    await dying.killed()
    other.pauses.hold()
    await house.expire(other)
    await other.care.recover()
    await other.pauses.reached.wait()
    await _taken_over(house, third)
    await other.sessions.renew()
    other.pauses.go()
    await other.rested()
    assert (again.ran, once.ran) == ([], [{}])


async def test_turn_that_was_lost_while_its_message_was_read_is_not_begun(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB may be away for as long as a takeover takes; the model is asked by its holder."""
    dying, other, third = [await house.worker(name) for name in ("w1", "w2", "w3")]
    room = await _holding(house, dying, "!wait 5\n!say done")
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
    await _taken_over(house, third)
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
    room = await _holding(house, holder, "!wait 5\n!tool echo {}")
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


async def _ended_unheard(house: House, holder: Worker) -> str:
    """Return a room whose end of a turn was committed unheard, with the claim of the next one.

    The holder has read so, and waits until the room is projected.
    """
    room = await _holding(house, holder, "!wait 5\n!say first")
    await holder.ask(house.message(room, "!wait 5\n!say second"))
    await holder.keeper.drain()
    holder.room_log.weather.append("unheard")
    holder.projections.gate.clear()
    holder.pauses.go()
    await eventually(lambda: len(holder.keeper._commits._projecting) == 1)
    return room


async def test_turn_that_was_dropped_while_its_end_was_looked_for_goes_on_elsewhere(
    house: House,
) -> None:
    """What the holder had read is older than that."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room = await _ended_unheard(house, holder)
    asked = len(holder.pauses.asked)
    other.pauses.hold()
    await house.expire(other)
    await other.care.recover()
    await other.pauses.reached.wait()
    await holder.sessions.renew()
    looking = asyncio.create_task(holder.keeper.refresh((TENANT, room)))
    await eventually(lambda: not holder.runner.runs((TENANT, room)))
    holder.projections.gate.set()
    await looking
    await holder.rested()
    assert len(holder.pauses.asked) == asked
    other.pauses.go()
    await other.rested()
    assert house.outputs(room) == ["first", "second"]


async def test_stop_that_came_while_the_end_before_was_looked_for_is_told_again(
    house: House,
) -> None:
    """The turn that had ended heard of it, in the place of the one that runs."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room = await _ended_unheard(house, holder)
    await other.ask(house.interrupt(room))
    await other.keeper.drain()
    holder.pauses.hold()
    looking = asyncio.create_task(holder.keeper.refresh((TENANT, room)))
    await eventually(lambda: len(holder.keeper._commits._projecting) == 2)
    holder.projections.gate.set()
    await looking
    await holder.pauses.reached.wait()
    await holder.care.look_at_own_rooms()
    await holder.rested()
    ends = [end["status"] for end in house.payloads(room, "actor:turn_end")]
    assert ends == ["completed", "interrupted"]


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
    room = await _holding(house, cut_off, "!wait 5\n!say first")
    await cut_off.ask(house.message(room, "!say second"))
    dead = await house.worker("w3")
    orphan = await _holding(house, dead, "!wait 5\n!say orphan")
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


async def test_drain_hands_over_what_still_runs(house: House) -> None:
    """The turn is left at its step, without a holder, and nothing is failed."""
    leaving, other = await house.worker("w1"), await house.worker("w2")
    first, second = Counting(idempotent=False), Counting(idempotent=False)
    leaving.tools["count"], other.tools["count"] = first, second
    room = await _holding(house, leaving, "!tool count {}\n!wait 5\n!say done")
    await leaving.runner.drain(0.01)
    assert house.log(room)[-1]["state"]["lease"] is None
    assert list(house.signals.triggers) == [(TENANT, room)]
    assert await other.take((TENANT, room)) is None
    await other.rested()
    assert (len(first.ran), len(second.ran)) == (1, 0)
    assert house.outputs(room) == ['{"ran": 1}\ndone']
    assert house.payloads(room, "room:recovered") == [{"epoch": 2, "previous_worker": None}]
    assert "error" not in house.types(room)


async def test_claim_that_commits_while_draining_is_handed_over(house: House) -> None:
    """A slot that was promised before the drain leaves no room with a session that ends."""
    leaving, other = await house.worker("w1"), await house.worker("w2")
    room = await house.rent(leaving)
    leaving.room_log.gate.clear()
    leaving.room_log.at_gate.clear()
    handling = asyncio.ensure_future(leaving.handle(house.message(room, "!say done")))
    await leaving.room_log.at_gate.wait()
    leaving.runner.draining = True
    leaving.room_log.gate.set()
    assert isinstance(await handling, Done)
    await leaving.runner.drain(5)
    assert house.log(room)[-1]["state"]["lease"] is None
    assert await other.take((TENANT, room)) is None
    await other.rested()
    assert house.outputs(room) == ["done"]
    assert house.payloads(room, "room:recovered") == [{"epoch": 2, "previous_worker": None}]


async def test_drain_lets_a_short_turn_end(house: House) -> None:
    """A turn that ends within the patience ends here; what waits behind it is left to others."""
    leaving, other = await house.worker("w1"), await house.worker("w2")
    room = await _holding(house, leaving, "!wait 5\n!say first")
    await leaving.ask(house.message(room, "!say second"))
    leaving.runner.draining = True
    leaving.pauses.go()
    await leaving.runner.drain(5)
    assert house.outputs(room) == ["first"]
    assert house.status(room) == "idle"
    assert await other.take((TENANT, room)) is None
    await other.rested()
    assert house.outputs(room) == ["first", "second"]


async def test_drain_of_a_dead_store_ends(house: House) -> None:
    """What cannot be handed over is left to those who find the session dead."""
    leaving, other = await house.worker("w1"), await house.worker("w2")
    room = await _holding(house, leaving, "!wait 5\n!say done")
    leaving.room_log.away = True
    leaving.keeper._rooms.drop((TENANT, room))
    await leaving.runner.drain(0.01)
    await _taken_over(house, other)
    assert house.outputs(room) == ["done"]


async def test_process_that_ends_does_not_end_its_turns(house: House) -> None:
    """A loop that is closed cancels what runs; in the log the turn is as it was."""
    ending, other = await house.worker("w1"), await house.worker("w2")
    room = await _holding(house, ending, "!wait 5\n!say done")
    before = house.log(room)
    for task in ending.runner._tasks:
        task.cancel()
    await ending.rested()
    assert house.log(room) == before
    await _taken_over(house, other)
    assert house.outputs(room) == ["done"]


async def test_turn_that_kills_its_workers_is_stopped(house: House) -> None:
    """After too many lost workers without a step the turn fails with its cause."""
    dying = await house.worker("w1")
    room = await _holding(house, dying, "!wait 5\n!say done")
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
    room = await _holding(house, dying, "!wait 5")
    await dying.killed()
    await other.ask(house.release(room, result="r"))
    await _taken_over(house, other)
    assert house.status(room) == "released"
    assert house.log(room)[-1]["state"]["result"] == "r"


async def test_large_answer_of_a_recovered_turn_is_stored_once(house: House) -> None:
    """An answer whose commit nobody heard of is one message with one blob."""
    worker = await house.worker()
    room = await _holding(house, worker, "!wait 5\n!size 100")
    worker.room_log.weather.append("unheard")
    worker.pauses.go()
    await worker.rested()
    messages: list[Any] = [m for e in house.log(room) for m in e.get("messages", ())]
    assert [message["author"] for message in messages] == ["user", "agent"]
    assert house.store.blobs[TENANT, messages[1]["blob"]] == b"x" * 102_400


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
