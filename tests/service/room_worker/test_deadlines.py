"""Deadlines: any worker keeps them once they have passed, whatever was lost."""

from __future__ import annotations

import pytest

from abbotik_contracts.policies import WakePolicy
from abbotik_room_worker.ports import UnavailableError
from tests.service.room_worker.house import House


async def test_sleep_comes_by_the_sweep(house: House) -> None:
    """Past `sleep_after_s` any worker puts the room to sleep, once."""
    worker, other = await house.worker("w1"), await house.worker("w2")
    room = await house.rent(worker, wake_policy=WakePolicy(sleep_after_s=5))
    await house.pass_time(4_000, worker, other)
    await other.sweep()
    assert house.status(room) == "rented"
    await house.pass_time(1_000, worker, other)
    await other.sweep()
    await other.rested()
    await worker.sweep()
    assert house.types(room) == ["room:rented", "room:sleeping"]


async def test_deadline_that_was_kept_unheard_shows_in_lists(house: House) -> None:
    """Whoever finds a room due by its projection alone mends the projection."""
    worker, other = await house.worker("w1"), await house.worker("w2")
    room = await house.rent(worker, wake_policy=WakePolicy(sleep_after_s=5))
    before = house.store.rooms[room].copy()
    await house.pass_time(5_000, worker, other)
    await worker.sweep()
    await worker.rested()
    house.store.rooms[room] = before
    await other.sweep()
    assert house.store.rooms[room]["state"]["status"] == "sleeping"
    assert house.types(room) == ["room:rented", "room:sleeping"]


async def test_soft_interrupt_escalates_by_the_sweep(house: House) -> None:
    """A turn that comes to no step is aborted after its deadline."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(room, "!wait 5\n!say never"))
    await worker.pauses.reached.wait()
    await worker.ask(house.interrupt(room, mode="soft", deadline_ms=1_000))
    await worker.keeper.drain()
    await house.pass_time(1_000, worker)
    await worker.sweep()
    await worker.rested()
    assert house.payloads(room, "actor:turn_end")[0]["status"] == "interrupted"
    assert house.log(room)[-1]["state"]["epoch"] == 1


async def test_release_past_its_deadline_is_carried_out(house: House) -> None:
    """A holder that is gone cannot keep a room from being released."""
    dying, other = await house.worker("w1"), await house.worker("w2")
    room = await house.rent(dying)
    dying.pauses.hold()
    await dying.ask(house.message(room, "!wait 5"))
    await dying.pauses.reached.wait()
    await dying.killed()
    await other.ask(house.release(room))
    await other.rested()
    await house.pass_time(10_000, other)
    await other.sweep()
    assert house.status(room) == "released"


async def test_deadlines_are_kept_without_the_bus(house: House) -> None:
    """A room that waits for a turn and cannot be told of keeps no other room from its way out."""
    worker = await house.worker()
    await house.queued(worker)
    sleepy = await house.rent(worker, wake_policy=WakePolicy(sleep_after_s=5))
    await house.pass_time(5_000, worker)
    house.signals.away = True
    with pytest.raises(UnavailableError):
        await worker.care.say_waiting()
    await worker.care.keep_deadlines()
    assert house.status(sleepy) == "sleeping"


async def test_one_pass_keeps_every_deadline(house: House) -> None:
    """However many passed at once."""
    worker = await house.worker()
    policy = WakePolicy(sleep_after_s=5)
    rooms = [await house.rent(worker, wake_policy=policy) for _ in range(200)]
    await house.pass_time(5_000, worker)
    await worker.care.keep_deadlines()
    assert {house.status(room) for room in rooms} == {"sleeping"}
