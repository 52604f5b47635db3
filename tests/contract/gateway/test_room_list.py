"""The list of rooms: one suite, run on the fake and on MongoDB."""

from __future__ import annotations

from typing import Any

import pytest

from abbotik_contracts.room_bodies import ReleaseBody, RentBody
from abbotik_contracts.room_commands import ReleaseRoom, RentRoom
from abbotik_gateway.adapters.room_list import ROOMS, MongoRoomList
from abbotik_gateway.handlers.commanding import Ids
from abbotik_gateway.ports import RoomList
from abbotik_room_worker.adapters.projections import project
from abbotik_runtime.ids import uuid7
from abbotik_runtime.mongo import Database
from tests.fakes.plane import Plane
from tests.fakes.streams import FakeClock, FakeSignals


class Listed:
    """A list, and a way to put rooms into it."""

    def __init__(self, rooms: RoomList, plane: Plane, database: Database | None) -> None:
        self.rooms = rooms
        self._plane = plane
        self._database = database

    async def rent(self, tenant: str = "acme", *, released: bool = False, **body: Any) -> str:
        """Rent a room, a second after the one before."""
        self._plane.clock.now += 1000
        room = uuid7()
        await self._plane.send(RentRoom(**_ids(tenant, room), body=RentBody(**body)))
        if released:
            await self._plane.send(ReleaseRoom(**_ids(tenant, room), body=ReleaseBody()))
        await self._project(tenant, room)
        return room

    async def _project(self, tenant: str, room: str) -> None:
        now = self._plane.room_now((tenant, room))
        if self._database is not None and now is not None:
            await self._database[ROOMS].insert_one(project(now, self._plane.clock.now))

    async def all(self, limit: int, **filters: str | None) -> list[str]:
        """Return the ids of all pages."""
        wanted = {"status": None, "name": None, **filters}
        found: list[str] = []
        page = await self.rooms.page("acme", **wanted, after=None, limit=limit)
        while page:
            found += [str(record["id"]) for _, record in page]
            page = await self.rooms.page("acme", **wanted, after=page[-1][0], limit=limit)
        return found


def _ids(tenant: str, room: str) -> Ids:
    return {"id": uuid7(), "tenant": tenant, "room": room, "caller": "ada", "request_id": ""}


@pytest.fixture(params=["fake", "mongo"])
def listed(request: pytest.FixtureRequest) -> Listed:
    """Return the fake list, and then the real one."""
    plane = Plane(FakeClock(), FakeSignals())
    if request.param == "fake":
        return Listed(plane, plane, None)
    database: Database = request.getfixturevalue("database")
    return Listed(MongoRoomList(database), plane, database)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_are_the_whole_list_in_order(listed: Listed, limit: int) -> None:
    """Unreleased before released, newest first in each, whatever the pages' size."""
    live = [await listed.rent() for _ in range(4)]
    gone = [await listed.rent(released=True) for _ in range(3)]
    assert await listed.all(limit) == [*live[::-1], *gone[::-1]]


async def test_rooms_of_one_moment_are_told_apart(listed: Listed) -> None:
    """Equal times are ordered by id, and none is lost between pages."""
    rooms = []
    for _ in range(5):
        rooms.append(await listed.rent())
        listed._plane.clock.now -= 1000
    assert await listed.all(2) == sorted(rooms, reverse=True)


async def test_filters_hold_over_pages(listed: Listed) -> None:
    """By state, by name, and never another tenant's."""
    await listed.rent("other", metadata={"name": "a"})
    named = [await listed.rent(metadata={"name": "a"}) for _ in range(3)]
    await listed.rent(metadata={"name": {"$gt": ""}})
    gone = await listed.rent(released=True, metadata={"name": "a"})
    assert await listed.all(2, name="a") == [*named[::-1], gone]
    assert await listed.all(2, status="released") == [gone]
    assert await listed.all(2, status="rented", name="a") == named[::-1]
    assert await listed.all(2, status="failed") == []


async def test_a_row_is_the_room_as_it_is_read(listed: Listed) -> None:
    """A list shows the same record as GET of the room."""
    room = await listed.rent(purpose="look", metadata={"$where": {"a.b": 1}})
    (_, record), *_ = await listed.rooms.page("acme", status=None, name=None, after=None, limit=9)
    assert (record["id"], record["purpose"], record["status"]) == (room, "look", "rented")
    assert record["metadata"] == {"$where": {"a.b": 1}}
