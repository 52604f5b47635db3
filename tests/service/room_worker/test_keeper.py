"""Commits: races between workers, callers that go away, and what is owed afterwards."""

from __future__ import annotations

import asyncio
import random

import pytest

from abbotik_kernel.outcome import Done, Retry
from abbotik_room_worker.domain.room import OpenCall, Room
from abbotik_room_worker.domain.turns import Step
from abbotik_room_worker.ports import RoomKey
from abbotik_runtime.log_reader import Configured
from abbotik_runtime.log_writer import EntryRefusedError
from tests.service.room_worker.house import TENANT, House


@pytest.mark.parametrize("seed", range(5))
async def test_workers_that_race_for_one_room_lose_nothing(house: House, seed: int) -> None:
    """Messages over four workers at once: each accepted one is answered once, in one order."""
    dice = random.Random(seed)  # noqa: S311  a schedule, not a secret
    workers = [await house.worker(f"w{number}") for number in range(4)]
    room = await house.rent(workers[0])
    messages = [house.message(room, f"!say {number}") for number in range(12)]

    async def send(number: int) -> bool:
        await asyncio.sleep(0)
        outcome = await dice.choice(workers).ask(messages[number])
        return outcome["ok"] is True

    accepted = await asyncio.gather(*map(send, range(len(messages))))
    for _ in range(len(messages)):
        for worker in workers:
            await worker.rested()
            for key in list(house.signals.triggers):
                del house.signals.triggers[key]
                await worker.take(key)
    said = [str(number) for number, taken in enumerate(accepted) if taken]
    assert sorted(house.outputs(room), key=int) == said
    assert house.status(room) == "idle"


async def test_same_command_at_two_workers_at_once_is_applied_once(house: House) -> None:
    """Whoever loses answers what the winner committed."""
    workers = [await house.worker("w1"), await house.worker("w2")]
    room = await house.rent(workers[0])
    command = house.message(room, "!say once")
    first, second = await asyncio.gather(*(worker.ask(command) for worker in workers))
    assert first == second
    for worker in workers:
        await worker.rested()
    assert house.outputs(room) == ["once"]


async def test_room_that_was_read_over_a_lapse_is_read_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the session had lapsed somebody may have gone on with what the log had said before."""
    worker, other = await house.worker("w1"), await house.worker("w2")
    room = await house.rent(worker)
    load, lapses = worker.room_log.load, worker.sessions.lapses

    async def lapsing(key: RoomKey, known: Configured | None = None) -> Room | None:
        found = await load(key, known)
        if worker.sessions.lapses == lapses:
            worker.sessions.lapses += 1
            await other.ask(house.message(room, "!say meanwhile"))
            await other.rested()
        return found

    monkeypatch.setattr(worker.room_log, "load", lapsing)
    read = await worker.keeper.refresh((TENANT, room))
    assert read is not None
    assert worker.sessions.lapses > lapses
    assert read.rev == len(house.log(room))


async def test_rooms_do_not_wait_for_each_other(house: House) -> None:
    """A commit that hangs holds its own room only."""
    worker = await house.worker()
    slow, quick = await house.rent(worker), await house.rent(worker)
    gate = worker.room_log.gate
    gate.clear()
    worker.room_log.at_gate.clear()
    hanging = asyncio.ensure_future(worker.handle(house.patch(slow, purpose="slow")))
    await worker.room_log.at_gate.wait()
    worker.room_log.gate = asyncio.Event()
    worker.room_log.gate.set()
    assert (await worker.ask(house.patch(quick, purpose="quick")))["ok"]
    assert not hanging.done()
    gate.set()
    assert isinstance(await hanging, Done)


@pytest.mark.parametrize("written", [True, False])
async def test_turn_that_is_stopped_during_a_step_owes_nothing(house: House, written: bool) -> None:
    """A hard interrupt does not cut a commit: it is projected and said, no counter stays open."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(room, "!wait 1\n!tool echo {}\n!say never"))
    await worker.pauses.reached.wait()
    log = worker.room_log
    wait, there = (log.reply, log.at_reply) if written else (log.gate, log.at_gate)
    wait.clear()
    there.clear()
    worker.pauses.go()
    await there.wait()
    worker.runner.slots.held[TENANT, room].performance.stop(hard=True)
    interrupting = asyncio.ensure_future(worker.handle(house.interrupt(room)))
    await asyncio.sleep(0)
    wait.set()
    await interrupting
    await worker.rested()
    assert house.payloads(room, "actor:turn_end")[0]["status"] == "interrupted"
    assert house.signals.published == house.events(room)
    assert worker.progress.through == worker.room_log.next_counter() - 1


@pytest.mark.parametrize("heard", [True, False])
async def test_unknown_outcome_is_owed_until_it_is_known(house: House, heard: bool) -> None:
    """A counter stays open while its entry may come to light, and closes when the room moved on."""
    worker = await house.worker()
    room = await house.rent(worker)
    await worker.rested()
    before = worker.progress.through
    worker.room_log.weather.append("unheard" if heard else "unwritten")
    command = house.message(room, "!say known")
    assert isinstance(await worker.handle(command), Retry)
    assert worker.progress.through == before
    assert (await worker.ask(command))["ok"]
    await worker.rested()
    assert worker.progress.through == worker.room_log.next_counter() - 1


async def test_refused_entry_is_not_owed(house: House) -> None:
    """What the store will never take is not in the log, and nobody has to look for it."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.room_log.refusing = EntryRefusedError("too large")
    assert isinstance(await worker.handle(house.message(room, "hello")), Retry)
    worker.room_log.refusing = None
    assert worker.progress.through == worker.room_log.next_counter() - 1


async def test_release_is_answered_with_the_room_as_it_is(house: House) -> None:
    """A stale copy that says `releasing` is not believed before the log was read."""
    worker, holder = await house.worker("w1"), await house.worker("w2")
    room = await house.rent(holder)
    holder.pauses.hold()
    await holder.ask(house.message(room, "!wait 5"))
    await worker.ask(house.release(room))
    await holder.keeper.refresh((TENANT, room))
    await holder.rested()
    assert house.status(room) == "released"
    outcome = await worker.ask(house.release(room))
    assert outcome["data"]["status"] == "released"  # type: ignore[call-overload,index]  # a record


async def test_step_of_a_lost_lease_is_told_so_by_a_fresh_read(house: House) -> None:
    """A stale copy that says no is not believed before the log was read."""
    worker, other = await house.worker("w1"), await house.worker("w2")
    room = await house.rent(worker)
    await other.keeper.refresh((TENANT, room))
    worker.pauses.hold()
    await worker.ask(house.message(room, "!wait 5"))
    turn = house.log(room)[-1]["state"]["turn"]
    assert turn is not None
    call = OpenCall("c", "echo", idempotent=True)
    step = Step("w1", 1, str(turn["id"]), opened=(call,))
    applied = await other.keeper.held((TENANT, room), step)
    assert type(applied).__name__ == "Applied"


async def test_projection_is_tried_until_it_is_written(house: House) -> None:
    """The store refuses some: nothing is given up, and the ack waits."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.projections.refusals = 3
    await worker.ask(house.message(room, "hello"))
    await worker.rested()
    assert house.store.rooms[room]["rev"] == len(house.log(room))
    assert worker.progress.through == len(house.log(room))
