"""Workers that are told to stop: what still runs goes on elsewhere."""

from __future__ import annotations

import asyncio

from abbotik_kernel.outcome import Done
from tests.service.room_worker.holding import Counting, holding, taken_over
from tests.service.room_worker.house import TENANT, House


async def test_drain_hands_over_what_still_runs(house: House) -> None:
    """The turn is left at its step, without a holder, and nothing is failed."""
    leaving, other = await house.worker("w1"), await house.worker("w2")
    first, second = Counting(idempotent=False), Counting(idempotent=False)
    leaving.tools["count"], other.tools["count"] = first, second
    room = await holding(house, leaving, "!tool count {}\n!wait 5\n!say done")
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
    room = await holding(house, leaving, "!wait 5\n!say first")
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
    room = await holding(house, leaving, "!wait 5\n!say done")
    leaving.room_log.away = True
    leaving.keeper._rooms.drop((TENANT, room))
    await leaving.runner.drain(0.01)
    await taken_over(house, other)
    assert house.outputs(room) == ["done"]


async def test_process_that_ends_does_not_end_its_turns(house: House) -> None:
    """A loop that is closed cancels what runs; in the log the turn is as it was."""
    ending, other = await house.worker("w1"), await house.worker("w2")
    room = await holding(house, ending, "!wait 5\n!say done")
    before = house.log(room)
    for task in ending.runner._tasks:
        task.cancel()
    await ending.rested()
    assert house.log(room) == before
    await taken_over(house, other)
    assert house.outputs(room) == ["done"]
