"""Triggers: a room waits, a worker has a slot, and the ack comes at the right moment."""

from __future__ import annotations

import pytest

from abbotik_kernel.outcome import Retry
from abbotik_room_worker import runner
from tests.service.room_worker.house import TENANT, House, Worker


async def _waiting(house: House, worker: Worker) -> str:
    """Return a room with a message that no worker has taken."""
    worker.waiting_rooms = True
    room = await house.rent(worker)
    await worker.ask(house.message(room, "!say taken"))
    await worker.rested()
    return room


async def test_trigger_is_confirmed_after_claim_and_projection(house: House) -> None:
    """While the claim is not projected nothing is acked; the turn runs already."""
    worker = await house.worker()
    room = await _waiting(house, worker)
    confirmed: list[tuple[str, bool]] = []

    async def confirm() -> bool:
        confirmed.append((house.status(room), house.store.rooms[room]["rev"] >= 3))
        return True

    assert await worker.waiting.take((TENANT, room), confirm) is None
    assert len(confirmed) == 1
    assert confirmed[0][1]
    await worker.rested()
    assert house.outputs(room) == ["taken"]


async def test_trigger_for_nothing_is_confirmed_and_looked_at_again(house: House) -> None:
    """A trigger that was served already is taken off, and a fresh read has the last word."""
    worker = await house.worker()
    room = await _waiting(house, worker)
    assert await worker.take((TENANT, room)) is None
    await worker.rested()
    assert await worker.take((TENANT, room)) is None
    assert house.outputs(room) == ["taken"]


async def test_message_between_the_read_and_the_ack_is_not_forgotten(house: House) -> None:
    """Its own trigger counted as said already, so whoever acks the old one says it anew."""
    worker, other = await house.worker("w1"), await house.worker("w2")
    worker.waiting_rooms = other.waiting_rooms = True
    room = await house.rent(worker)

    async def confirm() -> bool:
        await other.ask(house.message(room, "!say squeezed in"))
        await other.rested()
        house.signals.triggers.clear()
        return True

    assert await worker.waiting.take((TENANT, room), confirm) is None
    await worker.rested()
    assert list(house.signals.triggers) == [(TENANT, room)]
    assert await worker.take((TENANT, room)) is None
    await worker.rested()
    assert house.outputs(room) == ["squeezed in"]


async def test_ack_that_nobody_heard_of_is_tried_again(house: House) -> None:
    """Only a confirmed ack allows to say that nothing waits."""
    worker = await house.worker()
    room = await house.rent(worker)

    async def unheard() -> bool:
        return False

    assert isinstance(await worker.waiting.take((TENANT, room), unheard), Retry)


async def test_trigger_waits_while_the_store_is_away(house: House) -> None:
    """Bad weather delays the claim and keeps the trigger."""
    worker = await house.worker()
    room = await _waiting(house, worker)
    worker.room_log.away = True
    worker.keeper._rooms.drop((TENANT, room))
    assert isinstance(await worker.take((TENANT, room)), Retry)
    worker.room_log.away = False
    assert await worker.take((TENANT, room)) is None


async def test_full_worker_gives_the_trigger_back(house: House) -> None:
    """Without a free slot the trigger is for somebody else; promises count as taken."""
    worker = await house.worker(slots=1)
    room = await _waiting(house, worker)
    with worker.runner.offer() as claim:
        assert claim is not None
        assert worker.runner.slots.free == 0
        assert isinstance(await worker.take((TENANT, room)), Retry)
    assert worker.runner.slots.free == 1


async def test_trigger_of_a_room_that_is_gone_is_taken_off(house: House) -> None:
    """A trigger for a room without a log ends there."""
    worker = await house.worker()
    assert await worker.take((TENANT, house.rent_command().room)) is None


async def test_unsaid_trigger_is_said_by_the_sweep(house: House) -> None:
    """A room whose trigger found the bus away waits for the sweep, not for ever."""
    worker = await house.worker()
    house.signals.away = True
    room = await _waiting(house, worker)
    assert not house.signals.triggers
    house.signals.away = False
    await worker.sweep()
    assert not house.signals.triggers
    await house.pass_time(2_000, worker)
    await worker.sweep()
    assert list(house.signals.triggers) == [(TENANT, room)]


async def test_room_that_is_never_done_waits_behind_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While rooms wait, a full queue keeps its slot for some turns only, then the others come."""
    monkeypatch.setattr(runner, "_TURNS_IN_A_ROW", 3)
    worker = await house.worker(slots=1)
    greedy, patient = await house.rent(worker), await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(greedy, "!wait 1\n!say 0"))
    worker.waiting_rooms = True
    await worker.ask(house.message(patient, "!say at last"))
    for number in range(1, 6):
        await worker.ask(house.message(greedy, f"!say {number}"))
    worker.pauses.go()
    await worker.rested()
    assert house.outputs(greedy) == ["0", "1", "2"]
    assert house.payloads(greedy, "room:idle") == [{"reason": "yielded"}]
    assert list(house.signals.triggers) == [(TENANT, patient), (TENANT, greedy)]
    assert await worker.take((TENANT, patient)) is None
    await worker.rested()
    assert house.outputs(patient) == ["at last"]
    worker.waiting_rooms = False
    assert await worker.take((TENANT, greedy)) is None
    await worker.rested()
    assert house.outputs(greedy) == ["0", "1", "2", "3", "4", "5"]
    assert house.payloads(greedy, "room:idle")[1:] == [{"reason": "drained"}]
