"""The loops that keep every room with an owner, a deadline and a way out."""

from __future__ import annotations

import asyncio

import pytest

from abbotik_contracts.policies import WakePolicy
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.ports import RoomKey, UnavailableError
from abbotik_runtime.log_reader import Configured
from tests.service.room_worker.house import TENANT, House


async def test_lost_trigger_is_said_again(house: House) -> None:
    """A room that has waited for a second without a trigger gets one."""
    worker = await house.worker()
    room = await house.queued(worker)
    await worker.sweep()
    assert not house.signals.triggers
    await house.pass_time(2_000, worker)
    await worker.sweep()
    assert list(house.signals.triggers) == [(TENANT, room)]


async def test_projection_that_was_owed_is_written_after_death(house: House) -> None:
    """A commit whose worker died before the projection shows in lists all the same."""
    dying, other = await house.worker("w1"), await house.worker("w2")
    room = await house.queued(dying)
    dying.projections.gate.clear()
    dying.runner.draining = True
    handling = asyncio.ensure_future(dying.handle(house.message(room, "!say owed")))
    await house.until(room, "message:queued", 2)
    handling.cancel()
    await dying.killed()
    assert house.store.rooms[room]["rev"] < len(house.log(room))
    await house.expire(other)
    await other.care.recover()
    assert house.store.rooms[room]["rev"] == len(house.log(room))
    assert house.store.rooms[room]["wants_turn"] is True


async def test_claim_that_was_owed_is_found_by_the_log_alone(house: House) -> None:
    """Its worker dies before the projection says so, and the bus knows nothing: it runs on."""
    dying, other = await house.worker("w1"), await house.worker("w2")
    room = await house.rent(dying)
    dying.projections.gate.clear()
    dying.pauses.hold()
    handling = asyncio.ensure_future(dying.handle(house.message(room, "!wait 5\n!say done")))
    await dying.pauses.reached.wait()
    handling.cancel()
    await dying.killed()
    house.signals.triggers.clear()
    assert not house.store.rooms[room]["session"]
    await house.expire(other)
    for _ in range(2):
        await other.care.recover()
    await other.rested()
    assert house.outputs(room) == ["done"]
    assert house.types(room).count("room:recovered") == 1


async def test_all_that_a_busy_worker_owed_is_mended(house: House) -> None:
    """However many rooms a dead worker wrote to, each is repaired and the session is buried."""
    dying, other = await house.worker("w1"), await house.worker("w2")
    dying.runner.draining = True
    rooms = [await house.rent(dying) for _ in range(200)]
    for room in rooms:
        await dying.ask(house.message(room, "!say owed"))
    await dying.rested()
    await dying.killed()
    for room in rooms:
        house.store.rooms[room].update(rev=0, wants_turn=False)
    house.store.sessions["w1"].projected_through = 0
    house.signals.triggers.clear()
    await house.expire(other)
    for _ in range(10):
        await other.care.recover()
    assert [room for room in rooms if not house.store.rooms[room]["wants_turn"]] == []
    assert len(house.signals.triggers) == 200
    assert "w1" not in house.store.sessions


async def test_session_that_holds_more_than_there_are_slots_is_not_forgotten(house: House) -> None:
    """Rooms of a dead worker that find no slot yet keep its session until they do."""
    dying, other = await house.worker("w1"), await house.worker("w2", slots=1)
    rooms = [await house.rent(dying) for _ in range(3)]
    dying.pauses.hold()
    for room in rooms:
        await dying.ask(house.message(room, "!wait 5\n!say done"))
    await dying.killed()
    await house.expire(other)
    for _ in range(3):
        assert "w1" in house.store.sessions
        await other.care.recover()
        await other.rested()
    assert [house.outputs(room) for room in rooms] == [["done"]] * 3
    await other.care.recover()
    assert "w1" not in house.store.sessions


async def test_draining_worker_takes_nothing_over(house: House) -> None:
    """Who is about to leave leaves the dead to others."""
    dying, leaving = await house.worker("w1"), await house.worker("w2")
    room = await house.rent(dying)
    dying.pauses.hold()
    await dying.ask(house.message(room, "!wait 5"))
    await dying.killed()
    await house.expire(leaving)
    leaving.runner.draining = True
    await leaving.care.recover()
    assert house.payloads(room, "room:recovered") == []
    assert "w1" in house.store.sessions


async def test_schedule_posts_once_whoever_notices(house: House) -> None:
    """Two workers sweep at the same moment: one occurrence, one message, one answer."""
    worker, other = await house.worker("w1"), await house.worker("w2")
    schedule = {"every_s": 5, "content": "!say done"}
    room = await house.rent(worker, wake_policy=WakePolicy.model_validate({"schedule": schedule}))
    await worker.keeper.drain()
    await house.pass_time(5_000, worker, other)
    await asyncio.gather(worker.sweep(), other.sweep())
    assert list(house.signals.triggers) == [(TENANT, room)]
    assert await other.take((TENANT, room)) is None
    await other.rested()
    assert house.outputs(room) == ["done"]
    assert [wake["outcome"] for wake in house.payloads(room, "room:wake")] == ["fired"]
    assert house.log(room)[-1]["state"]["wakes"][0] > house.clock.now_ms()


async def test_room_whose_projection_lags_behind_is_not_read_again(house: House) -> None:
    """A busy worker's own rooms cost no read: their turns ended after the projection was made."""
    worker = await house.worker()
    room = await house.rent(worker)
    await worker.handle(house.message(room, "!say done"))
    await worker.rested()
    stale = len(house.log(room)) - 1
    house.store.rooms[room].update(rev=stale, session="w1")
    await worker.care.recover()
    assert house.store.rooms[room]["rev"] == stale


async def test_sweep_speaks_of_handed_over_rooms_and_not_of_those_that_wait_for_a_person(
    house: House,
) -> None:
    """A failed room and an explicit one keep their queues in silence; a turn needs a worker."""
    worker = await house.worker()
    failed = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(failed, "!wait 1\n!fail EXECUTOR_FAILED"))
    await worker.ask(house.message(failed, "!say later"))
    explicit = await house.rent(worker, wake_policy=WakePolicy(mode="explicit"))
    await worker.ask(house.message(explicit, "!say later"))
    worker.pauses.go()
    await worker.rested()
    assert (house.status(failed), house.status(explicit)) == ("failed", "rented")
    leaving = await house.worker("w2")
    handed_over = await house.rent(leaving)
    leaving.pauses.hold()
    await leaving.ask(house.message(handed_over, "!wait 1\n!say on"))
    await leaving.pauses.reached.wait()
    await leaving.runner.drain(0)
    await leaving.keeper.drain()
    house.signals.triggers.clear()
    await house.pass_time(2_000, worker)
    await worker.sweep()
    assert list(house.signals.triggers) == [(TENANT, handed_over)]
    assert await worker.take((TENANT, handed_over)) is None
    await worker.rested()
    assert house.outputs(handed_over) == ["on"]


@pytest.mark.parametrize("fault", [LookupError("unreadable"), UnavailableError("no answer")])
async def test_room_that_cannot_be_cared_for_keeps_nobody_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """Its deadline stays, and so does the session that held it; every other room is cared for."""
    dying, other = await house.worker("w1"), await house.worker("w2", slots=10)
    policy = WakePolicy(sleep_after_s=5)
    rooms = [await house.rent(dying, wake_policy=policy) for _ in range(10)]
    dying.pauses.hold()
    held = [await house.rent(dying) for _ in range(4)]
    for room in held:
        await dying.ask(house.message(room, "!wait 5\n!say done"))
    await dying.keeper.drain()
    await dying.killed()
    load = other.room_log.load

    async def broken(key: RoomKey, known: Configured | None = None) -> Room | None:
        if key[1] in (rooms[0], held[0]):
            raise fault
        return await load(key, known)

    monkeypatch.setattr(other.room_log, "load", broken)
    await house.expire(other)
    await other.care.keep_deadlines()
    assert [house.status(room) for room in rooms] == ["rented"] + ["sleeping"] * 9
    await other.care.recover()
    await other.rested()
    assert [house.outputs(room) for room in held] == [[], *[["done"]] * 3]
    await other.care.recover()
    assert "w1" in house.store.sessions


async def test_what_a_dead_worker_owed_is_not_read_again_each_second_for_one_broken_room(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pauses grow; once the room can be read again, the session is buried."""
    dying, other = await house.worker("w1"), await house.worker("w2")
    rooms = [await house.rent(dying) for _ in range(20)]
    await dying.killed()
    house.store.sessions["w1"].projected_through = 0
    load, read = other.room_log.load, list[str]()
    broken = {rooms[7]}

    async def counted(key: RoomKey, known: Configured | None = None) -> Room | None:
        read.append(key[1])
        if key[1] in broken:
            raise LookupError("unreadable")
        return await load(key, known)

    monkeypatch.setattr(other.room_log, "load", counted)
    await house.expire(other)
    for _ in range(60):
        await house.pass_time(1_000, other)
        await other.care.recover()
    assert read.count(rooms[7]) == read.count(rooms[0]) == 5
    assert "w1" in house.store.sessions
    broken.clear()
    await house.pass_time(60_000, other)
    await other.care.recover()
    assert "w1" not in house.store.sessions
