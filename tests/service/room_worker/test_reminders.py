"""Reminders of the bus: they make an occurrence prompt, and nothing depends on them."""

from __future__ import annotations

from abbotik_contracts.policies import WakePolicy
from abbotik_kernel.outcome import Done, Reject, Retry
from tests.service.room_worker.house import TENANT, House, Worker


async def _scheduled(house: House, worker: Worker) -> str:
    schedule = {"every_s": 5, "content": "!say done"}
    return await house.rent(worker, wake_policy=WakePolicy.model_validate({"schedule": schedule}))


async def test_each_next_occurrence_is_reminded_of(house: House) -> None:
    """One reminder a room: for the time that comes next, whatever else happens in the room."""
    worker = await house.worker()
    room = await _scheduled(house, worker)
    first = house.signals.reminders.pop((TENANT, room))
    assert first == house.clock.now_ms() + 5_000
    await worker.ask(house.message(room, "!say hello"))
    await worker.rested()
    assert not house.signals.reminders
    await house.pass_time(5_000, worker)
    assert await worker.reminders.take((TENANT, room), b"%d" % first) == Done()
    assert house.signals.reminders == {(TENANT, room): first + 5_000}
    await worker.take((TENANT, room))
    await worker.rested()
    assert house.outputs(room) == ["hello", "done"]


async def test_reminder_that_comes_early_comes_again(house: House) -> None:
    """The bus may be ahead of the database's time; nothing fires before its time."""
    worker = await house.worker()
    room = await _scheduled(house, worker)
    at = house.signals.reminders[TENANT, room]
    await house.pass_time(4_000, worker)
    assert await worker.reminders.take((TENANT, room), b"%d" % at) == Retry(1.0)
    assert house.types(room) == ["room:rented"]


async def test_reminder_that_comes_far_too_early_ends(house: House) -> None:
    """No clock is that wrong: the bus cannot count so far. The sweep keeps the occurrence."""
    worker = await house.worker()
    room = await house.rent(worker)
    far = house.clock.now_ms() + 300 * 365 * 24 * 3_600_000
    assert await worker.reminders.take((TENANT, room), b"%d" % far) == Done()


async def test_reminder_of_what_was_kept_does_nothing(house: House) -> None:
    """The sweep was quicker, or the reminder comes twice."""
    worker = await house.worker()
    room = await _scheduled(house, worker)
    at = house.signals.reminders[TENANT, room]
    await worker.keeper.drain()
    await house.pass_time(5_000, worker)
    await worker.sweep()
    kept = house.types(room)
    assert await worker.reminders.take((TENANT, room), b"%d" % at) == Done()
    assert house.types(room) == kept


async def test_reminder_without_a_time_is_refused(house: House) -> None:
    """What is on the subject and no reminder becomes a dead letter."""
    worker = await house.worker()
    outcome = await worker.reminders.take((TENANT, "r"), b"soon")
    assert isinstance(outcome, Reject)


async def test_unknown_room_needs_no_reminder(house: House) -> None:
    """A reminder of a database that was lost ends."""
    worker = await house.worker()
    assert await worker.reminders.take((TENANT, "r"), b"1") == Done()


async def test_time_of_a_room_never_goes_back(house: House) -> None:
    """A worker whose clock is behind does not set an occurrence again that another has kept."""
    worker = await house.worker()
    schedule = {"cron": "* * * * *", "content": "!say one", "overlap": "queue"}
    policy = WakePolicy.model_validate({"schedule": schedule})
    room = await house.rent(worker, wake_policy=policy)
    at = house.signals.reminders[TENANT, room]
    await house.pass_time(at - house.clock.now_ms(), worker)
    await worker.sweep()
    house.clock.advance(at - 500 - house.clock.now_ms())
    more = {"schedule": {**schedule, "content": "!say two"}}
    await worker.ask(house.patch(room, wake_policy=more))
    assert house.signals.reminders[TENANT, room] == at + 60_000
    await house.pass_time(62_000, worker)
    await worker.sweep()
    await worker.take((TENANT, room))
    await worker.rested()
    assert house.outputs(room) == ["one", "two"]
