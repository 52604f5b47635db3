"""Stopping a turn: interrupts and releases while it runs, here and on another worker."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import Any

import pytest

from abbotik_contracts.policies import Actor
from abbotik_room_worker.ports import Emit, TurnAnswer, TurnInput
from tests.service.room_worker.house import TENANT, House, Worker

HALF = "!stream 10 half of an answer\n!wait 5\n!say never"


async def _half_way(house: House, worker: Worker, content: str = HALF) -> str:
    """Return a room whose turn has said its first word and sleeps."""
    room = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(room, content))
    await worker.pauses.reached.wait()
    return room


async def test_hard_interrupt_keeps_the_partial_text(house: House) -> None:
    """The turn ends at once; what was said is an output that says it was interrupted."""
    worker = await house.worker()
    room = await house.rent(worker)
    sleeps = 0

    async def asleep_at_third(_: float) -> None:
        nonlocal sleeps
        sleeps += 1
        if sleeps == 3:
            worker.pauses.hold()
            await worker.pauses(0)

    worker.executors["scripted"]._sleep = asleep_at_third  # type: ignore[attr-defined]  # the script's
    await worker.ask(house.message(room, HALF))
    await worker.pauses.reached.wait()
    outcome = await worker.ask(house.interrupt(room))
    turn_id = house.payloads(room, "actor:turn_start")[0]["turn_id"]
    assert outcome["data"] == {"turn_id": turn_id, "status": "interrupting"}
    assert outcome["seq"] == 0
    await worker.rested()
    assert house.outputs(room) == ["half of"]
    messages = [m for entry in house.log(room) for m in entry.get("messages", ())]
    assert messages[-1]["metadata"] == {"interrupted": True}
    assert house.payloads(room, "actor:turn_end")[0]["status"] == "interrupted"
    assert house.payloads(room, "room:idle") == [{"reason": "interrupted"}]


async def test_room_goes_on_after_an_interrupt(house: House) -> None:
    """The message that waited runs next, and so does one that comes later."""
    worker = await house.worker()
    room = await _half_way(house, worker)
    await worker.ask(house.message(room, "!say second"))
    await worker.ask(house.interrupt(room))
    worker.pauses.go()
    await worker.rested()
    await worker.ask(house.message(room, "!say third"))
    await worker.rested()
    assert house.outputs(room) == ["second", "third"]
    assert house.status(room) == "idle"


async def test_soft_interrupt_waits_for_the_step(house: House) -> None:
    """The word under way is said; the turn stops where it would begin the next thing."""
    worker = await house.worker()
    room = await _half_way(house, worker, "!say lost\n!wait 5\n!tool echo {}")
    await worker.ask(house.interrupt(room, mode="soft"))
    assert "actor:turn_end" not in house.types(room)
    worker.pauses.go()
    await worker.rested()
    assert house.payloads(room, "actor:turn_end")[0]["status"] == "interrupted"
    assert house.payloads(room, "tool:start") == []


async def test_hard_after_soft_does_not_wait(house: House) -> None:
    """A stronger request stops what the weaker one waited for."""
    worker = await house.worker()
    room = await _half_way(house, worker)
    await worker.ask(house.interrupt(room, mode="soft"))
    await worker.ask(house.interrupt(room, mode="hard"))
    await worker.rested()
    assert house.status(room) == "idle"


async def test_turn_that_ended_well_is_not_interrupted_afterwards(house: House) -> None:
    """An interrupt that comes too late is refused."""
    worker = await house.worker()
    room = await house.rent(worker)
    await worker.ask(house.message(room, "hello"))
    await worker.rested()
    assert (await worker.ask(house.interrupt(room)))["code"] == "ROOM_NOT_RUNNING"


class _Stubborn:
    """An executor that answers in spite of being cut off."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()

    async def run(self, _turn: TurnInput, _emit: Emit) -> TurnAnswer:
        """Wait for the cut, and take no notice."""
        self.waits.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return TurnAnswer("all the same", {})


async def test_cut_that_an_executor_swallows_does_not_cut_its_commit(house: House) -> None:
    """What it answers is the end of the turn."""
    worker = await house.worker()
    stubborn = worker.executors["stubborn"] = _Stubborn()
    room = await house.rent(worker, actors=[Actor(provider="stubborn")])
    await worker.ask(house.message(room, "hello"))
    await stubborn.waits.wait()
    await worker.ask(house.interrupt(room))
    await worker.rested()
    assert house.outputs(room) == ["all the same"]
    assert house.payloads(room, "actor:turn_end")[0]["status"] == "completed"


async def test_failed_commit_of_a_step_that_was_given_up_is_no_news(house: House) -> None:
    """A stop leaves the commit of a step alone; that it failed then concerns nobody."""
    worker = await house.worker()
    room = await _half_way(house, worker, "!wait 5\n!tool echo {}")
    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    worker.room_log.gate.clear()
    worker.room_log.at_gate.clear()
    worker.pauses.go()
    await worker.room_log.at_gate.wait()
    worker.runner.slots.held[TENANT, room].performance.stop(hard=True)
    worker.room_log.weather.append("unwritten")
    await asyncio.sleep(0)
    worker.room_log.gate.set()
    await worker.rested()
    gc.collect()
    assert unheard == []
    assert house.payloads(room, "tool:start") == []


async def test_process_that_ends_during_an_interrupt_does_not_end_the_turn(house: House) -> None:
    """A cut takes nothing from the cancellation by a loop that is closed."""
    worker = await house.worker()
    room = await _half_way(house, worker, "!wait 5")
    held = worker.runner.slots.held[TENANT, room]
    (task,) = worker.runner._tasks
    before = house.log(room)
    held.performance.stop(hard=True)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert house.log(room) == before


@pytest.mark.parametrize("how", ["interrupt", "release"])
async def test_other_worker_nudges_the_holder(house: House, how: str) -> None:
    """Whoever commits the request tells the holder, which looks at the log and stops."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room = await _half_way(house, holder)
    command: Any = house.interrupt(room) if how == "interrupt" else house.release(room)
    await other.ask(command)
    await house.signals.until(lambda: house.signals.nudges == [room])
    await holder.keeper.refresh((TENANT, room))
    await holder.rested()
    assert house.status(room) == ("idle" if how == "interrupt" else "released")
    assert house.log(room)[-1]["session"] == "w1"
    assert house.log(room)[-1]["state"]["epoch"] == 1


async def test_holder_notices_without_a_nudge(house: House) -> None:
    """A lost nudge costs a second: the holder reads newer revs of its rooms."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room = await _half_way(house, holder)
    await other.ask(house.interrupt(room))
    await other.rested()
    await holder.care.look_at_own_rooms()
    await holder.rested()
    assert house.status(room) == "idle"


async def test_holder_notices_what_it_has_read_already(house: House) -> None:
    """A command that comes to nothing reads the room anew; the turn hears of it all the same."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room = await _half_way(house, holder)
    await other.ask(house.release(room))
    await other.rested()
    assert (await holder.ask(house.message(room, "late")))["code"] == "ROOM_RELEASED"
    await holder.care.look_at_own_rooms()
    await holder.rested()
    assert house.status(room) == "released"
    assert house.log(room)[-1]["state"]["epoch"] == 1


async def test_holder_that_cannot_stop_is_ended_by_anybody(house: House) -> None:
    """Past the deadline another worker ends the turn, and the holder drops what it still does."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room = await _half_way(house, holder)
    await other.ask(house.interrupt(room, deadline_ms=500))
    await other.rested()
    await house.pass_time(1_000, holder, other)
    await other.sweep()
    await other.rested()
    assert house.status(room) == "idle"
    await holder.care.look_at_own_rooms()
    await holder.care.look_at_own_rooms()
    await holder.keeper.refresh((TENANT, room))
    await holder.rested()
    assert house.types(room).count("actor:turn_end") == 1
    assert house.outputs(room) == []


async def test_release_stops_the_turn_and_ends_the_room(house: House) -> None:
    """Queue withdrawn, turn stopped, room released, with the text it had and its account."""
    worker = await house.worker()
    room = await _half_way(house, worker)
    await worker.ask(house.message(room, "!say waits"))
    outcome = await worker.ask(house.release(room, result={"n": 1}, reason="enough"))
    assert outcome["data"]["status"] == "releasing"  # type: ignore[call-overload,index]  # a record
    await worker.rested()
    assert house.status(room) == "released"
    assert house.types(room)[-4:] == [
        "message:withdrawn",
        "room:releasing",
        "actor:turn_end",
        "room:released",
    ]
    (end,) = house.payloads(room, "room:released")
    assert (end["reason"], end["settlement"]["turns"]) == ("enough", 1)
    again = await worker.ask(house.release(room, result="other"))
    assert again["data"]["result"] == {"n": 1}  # type: ignore[call-overload,index]  # a record
    assert (await worker.ask(house.message(room, "late")))["code"] == "ROOM_RELEASED"


async def test_interrupt_of_an_open_tool_call_closes_it(house: House) -> None:
    """A tool that runs is killed and its call gets a typed result."""
    worker = await house.worker()

    class Slow:
        """A tool that takes as long as the pauses say."""

        idempotent = False

        async def __call__(self, arguments: Any) -> Any:
            """Sleep."""
            await worker.pauses(1)
            return arguments

    worker.tools["slow"] = Slow()
    room = await _half_way(house, worker, "!tool slow {}")
    await worker.ask(house.interrupt(room))
    await worker.rested()
    (end,) = house.payloads(room, "tool:end")
    assert (end["status"], end["error"]["code"]) == ("interrupted", "TURN_ENDED")
