"""Ends of turns whose commit nobody heard of, and what came in between."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.eventually import eventually
from tests.service.room_worker.holding import holding
from tests.service.room_worker.house import TENANT, House, Worker


async def _ended_unheard(house: House, holder: Worker) -> str:
    """Return a room whose end of a turn was committed unheard, with the claim of the next one.

    The holder has read so, and waits until the room is projected.
    """
    room = await holding(house, holder, "!wait 5\n!say first")
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


async def test_large_answer_of_a_recovered_turn_is_stored_once(house: House) -> None:
    """An answer whose commit nobody heard of is one message with one blob."""
    worker = await house.worker()
    room = await holding(house, worker, "!wait 5\n!size 100")
    worker.room_log.weather.append("unheard")
    worker.pauses.go()
    await worker.rested()
    messages: list[Any] = [m for e in house.log(room) for m in e.get("messages", ())]
    assert [message["author"] for message in messages] == ["user", "agent"]
    assert house.store.blobs[TENANT, messages[1]["blob"]] == b"x" * 102_400
