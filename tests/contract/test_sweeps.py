"""What every projection and sweep must do: the fakes in memory and those in MongoDB alike."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from abbotik_contracts.policies import WakePolicy
from abbotik_room_worker.domain.due import due_at
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.domain.takeover import HandOver
from abbotik_room_worker.ports import RoomKey, Written
from tests.contract.conftest import Stores
from tests.contract.test_room_log import sealed
from tests.unit.room_worker.rooms import (
    T0,
    TENANT,
    active,
    after,
    asked,
    held,
    message,
    released,
    rent,
    rented,
    uid,
)


def placed(room: Room, number: int, rev: int = 1, tenant: str = TENANT) -> Room:
    """Return the room under another id, at a rev."""
    return replace(room, id=uid(number), rev=rev, tenant=tenant)


def waiting() -> Room:
    """Return a room that wants a turn."""
    return after(asked(rented(), message(2)))


def key(number: int, tenant: str = TENANT) -> RoomKey:
    """Return the key of a room that `placed` gave its id."""
    return tenant, uid(number)


async def test_rooms_that_want_a_turn_are_found_when_they_have_waited(stores: Stores) -> None:
    """Of all tenants, queued or without a holder, unchanged since the given time."""
    handed = after(held(active(), HandOver("w1", 1)))
    await stores.projections.write(placed(waiting(), 10), T0)
    await stores.projections.write(placed(waiting(), 11, tenant="other"), T0 + 1)
    await stores.projections.write(placed(handed, 12), T0 + 2)
    await stores.projections.write(placed(rented(), 13), T0)
    await stores.projections.write(placed(active(), 14), T0)
    await stores.projections.write(placed(released(), 15), T0)
    assert await stores.sweeps.wanting(T0, 10) == []
    found = await stores.sweeps.wanting(T0 + 3, 10)
    assert sorted(found) == [key(10), key(12), key(11, "other")]
    assert len(await stores.sweeps.wanting(T0 + 3, 2)) == 2


async def test_room_whose_turn_began_wants_none_any_more(stores: Stores) -> None:
    """The newer state takes the room off the list."""
    await stores.projections.write(placed(waiting(), 10, 2), T0)
    await stores.projections.write(placed(active(), 10, 3), T0)
    assert await stores.sweeps.wanting(T0 + 9, 10) == []


async def test_older_state_never_replaces_a_newer_one(stores: Stores) -> None:
    """Projections go only forward in rev, in whatever order they are written."""
    await stores.projections.write(placed(active(), 10, 5), T0)
    await stores.projections.write(placed(waiting(), 10, 4), T0)
    await stores.projections.write(placed(waiting(), 10, 5), T0)
    assert await stores.sweeps.wanting(T0 + 9, 10) == []
    assert await stores.sweeps.held_by("w1", 10) == {key(10): 5}
    assert await stores.sweeps.newer({uid(10): 4}) == [key(10)]
    assert await stores.sweeps.newer({uid(10): 5}) == []


async def test_states_of_one_room_that_are_written_at_once_leave_the_newest(
    stores: Stores,
) -> None:
    """Many writers of one room: each returns, and the highest rev is there."""
    rooms = [placed(rented(), 10, rev) for rev in range(1, 30)]
    await asyncio.gather(*(stores.projections.write(room, T0) for room in reversed(rooms)))
    assert await stores.sweeps.newer({uid(10): 28}) == [key(10)]
    assert await stores.sweeps.newer({uid(10): 29}) == []


async def test_many_rooms_are_written_at_once(stores: Stores) -> None:
    """A burst of rooms, more than one batch holds, is all there."""
    rooms = [placed(waiting(), 1000 + number) for number in range(300)]
    await asyncio.gather(*(stores.projections.write(room, T0) for room in rooms))
    assert len(await stores.sweeps.newer({room.id: 0 for room in rooms})) == 300


async def test_deadlines_that_have_passed_are_found_the_oldest_first(stores: Stores) -> None:
    """Sleep, turn and release deadlines alike; a room without one never."""
    sleepy = rented(wake_policy=WakePolicy(sleep_after_s=5))
    running = active()
    await stores.projections.write(placed(running, 10), T0)
    await stores.projections.write(placed(sleepy, 11, tenant="other"), T0)
    await stores.projections.write(placed(rented(), 12), T0)
    await stores.projections.write(placed(released(), 13), T0)
    assert await stores.sweeps.due(T0 + 4_999, 10) == []
    assert await stores.sweeps.due(T0 + 5_000, 10) == [key(11, "other")]
    late = due_at(running)
    assert late is not None
    assert await stores.sweeps.due(late, 10) == [key(11, "other"), key(10)]
    assert await stores.sweeps.due(late, 1) == [key(11, "other")]
    assert await stores.sweeps.due(late, 1, but=[key(11, "other")]) == [key(10)]


async def test_rooms_are_found_by_their_holder(stores: Stores) -> None:
    """Those whose lease names the session, and no others."""
    await stores.projections.write(placed(active(), 10), T0)
    await stores.projections.write(placed(active(), 11, tenant="other"), T0)
    await stores.projections.write(placed(rented(), 12), T0)
    assert sorted(await stores.sweeps.held_by("w1", 10)) == [key(10), key(11, "other")]
    assert await stores.sweeps.holders() == ["w1"]
    assert len(await stores.sweeps.held_by("w1", 1)) == 1
    assert await stores.sweeps.held_by("w2", 10) == {}


async def test_rooms_that_moved_on_are_found_by_their_rev(stores: Stores) -> None:
    """Of those that are asked about only; a room that is not there did not move."""
    await stores.projections.write(placed(rented(), 10, 3), T0)
    await stores.projections.write(placed(rented(), 11, 3), T0)
    assert await stores.sweeps.newer({}) == []
    assert await stores.sweeps.newer({uid(10): 2, uid(99): 0}) == [key(10)]


async def test_what_a_session_wrote_is_found_above_a_counter(stores: Stores) -> None:
    """In the order of its counters, page by page, whatever other sessions wrote between."""
    mine, other = stores.log("w1"), stores.log("w2")
    for number in range(1, 8):
        for log in (mine, other):
            command = rent(number + (100 if log is other else 0))
            command = command.model_copy(update={"room": uid(command_number(command.id))})
            await log.append(sealed(log, None, command).entry)
    page = await stores.sweeps.written_by("w1", 2, 3)
    assert page == [Written(key(n), n) for n in (3, 4, 5)]
    rest = await stores.sweeps.written_by("w1", 5, 3)
    assert rest == [Written(key(n), n) for n in (6, 7)]
    assert await stores.sweeps.written_by("w1", 7, 3) == []
    assert await stores.sweeps.written_by("nobody", 0, 3) == []


def command_number(command_id: str) -> int:
    """Return the number that `uid` made the id of."""
    return int(command_id[-12:])


async def test_odd_names_of_metadata_are_projected(stores: Stores) -> None:
    """Names that mean something to a database are only names here."""
    odd = rented(metadata={"$set": {"a.b": 1}, "": None, "ключ": [{"$where": "x"}]})
    await stores.projections.write(placed(odd, 10, 1), T0)
    await stores.projections.write(placed(odd, 10, 2), T0)
    assert await stores.sweeps.newer({uid(10): 1}) == [key(10)]
