"""Several rooms on one connection."""

from __future__ import annotations

import asyncio

import pytest
from starlette.responses import Response

from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.handlers.following.outbox import MAX_EVENTS
from tests.eventually import eventually
from tests.fakes.room_history import RoomHistory
from tests.fakes.sse_reader import SseReader
from tests.fakes.streams_world import CALLER, World, code_of, request


async def several(world: World, rooms: str, header: str | None = None) -> SseReader:
    """Follow several rooms."""
    answer: Response = await world.streams.follow_several(request(header, {"rooms": rooms}), CALLER)
    return SseReader(answer)


async def test_several_rooms_on_one_connection(world: World) -> None:
    """Each room's events come in its order under `<room>:<seq>`, and each resumes by itself."""
    one, two = world.room(3), world.room(400)
    reader = await several(world, f"{one.room}:2,{two.room}")
    await eventually(lambda: len(reader.events) == 2 + 401)
    for _ in range(5):
        world.happen(one, *one.notes(1))
        world.happen(two, *two.notes(1))
    await eventually(lambda: len(reader.events) == 2 + 401 + 10)
    for history, first in ((one, 3), (two, 1)):
        mine = [event for event in reader.events if event["room_id"] == history.room]
        assert mine == history.records[first - 1 :]
        ids = [frame.id for frame in reader.frames if frame.data and frame.data["seq"] == first]
        assert f"{history.room}:{first}" in ids
    await reader.leave()


async def test_several_rooms_end_one_by_one(world: World) -> None:
    """A released room ends alone; the stream ends with the last one, then it is 204."""
    one, two = world.room(), world.room()
    reader = await several(world, f"{one.room},{two.room}")
    await eventually(lambda: len(reader.events) == 2)
    world.happen(one, one.release())
    await eventually(lambda: reader.names.count("stream:end") == 1)
    world.happen(two, *two.notes(1), two.release())
    await reader.end()
    ends = [frame.data for frame in reader.frames if frame.event == "stream:end"]
    assert [(end["room_id"], end["last_seq"]) for end in ends] == [(one.room, 2), (two.room, 3)]
    again = await world.streams.follow_several(
        request(None, {"rooms": f"{one.room}:2,{two.room}:3"}), CALLER
    )
    assert again.status_code == 204


async def test_one_unknown_room_of_several_is_404(world: World) -> None:
    """A foreign room among the caller's own refuses the whole stream."""
    with pytest.raises(Problem) as caught:
        await several(world, f"{world.room().room},{RoomHistory().room}")
    assert code_of(caught) == (404, "ROOM_NOT_FOUND")


async def test_several_rooms_lag_with_all_positions(world: World) -> None:
    """A cut stream of several rooms says for each where to resume."""
    one, two = world.room(), world.room()
    reader = await several(world, f"{one.room},{two.room}")
    await eventually(lambda: len(reader.events) == 2)
    reader.stall()
    for _ in range(MAX_EVENTS):
        world.happen(one, *one.notes(1))
        world.happen(two, *two.notes(1))
        await asyncio.sleep(0)
    reader.read_on()
    await reader.end()
    last = reader.frames[-1]
    assert last.event == "stream:lagged"
    for history in (one, two):
        mine = [event["seq"] for event in reader.events if event["room_id"] == history.room]
        assert mine == list(range(1, last.data["positions"][history.room] + 1))
