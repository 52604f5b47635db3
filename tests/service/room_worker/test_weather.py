"""Turns in bad weather: what was not written, or what nobody heard of, is in the log once."""

from __future__ import annotations

import pytest

from tests.eventually import eventually
from tests.fakes.room_worker.room_log import Weather
from tests.service.room_worker.house import House, Worker


async def _two_turns(house: House, worker: Worker, second: str) -> str:
    """Return a room whose first turn sleeps and whose second message waits."""
    room = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(room, "!wait 1\n!say first"))
    await worker.pauses.reached.wait()
    await worker.ask(house.message(room, second))
    return room


@pytest.mark.parametrize("first", ["fair", "unwritten", "unheard"])
@pytest.mark.parametrize("second", ["fair", "unwritten", "unheard"])
async def test_bad_weather_delays_a_turn_and_loses_nothing(
    house: House, first: Weather, second: Weather
) -> None:
    """Steps and ends that were not written, or that nobody heard of, are in the log once."""
    worker = await house.worker()
    room = await house.rent(worker)
    worker.pauses.hold()
    await worker.ask(house.message(room, '!wait 1\n!tool echo {"n":1}\n!tool echo {"n":2}'))
    await worker.pauses.reached.wait()
    worker.room_log.weather.extend([first, second, "fair", second, "unheard"])
    worker.pauses.go()
    await worker.rested()
    starts, ends = house.payloads(room, "tool:start"), house.payloads(room, "tool:end")
    assert [start["arguments"] for start in starts] == [{"n": 1}, {"n": 2}]
    assert [end["result"] for end in ends] == [{"n": 1}, {"n": 2}]
    assert [end["call_id"] for end in ends] == [start["call_id"] for start in starts]
    assert house.outputs(room) == ['{"n": 1}\n{"n": 2}']


async def test_turn_that_an_unheard_end_went_on_with_runs_here(house: House) -> None:
    """The end was committed and began the next turn: its holder finds that and runs it."""
    worker = await house.worker()
    room = await _two_turns(house, worker, "!say second")
    worker.room_log.weather.append("unheard")
    worker.pauses.go()
    await worker.rested()
    assert house.outputs(room) == ["first", "second"]
    assert house.payloads(room, "room:recovered") == []


async def test_turn_that_was_stopped_before_its_holder_knew_of_it_stops(house: House) -> None:
    """Another worker interrupts the turn that an unheard end went on with."""
    holder, other = await house.worker("w1"), await house.worker("w2")
    room = await _two_turns(house, holder, "!stream 1 never to be said")
    holder.room_log.weather.append("unheard")
    holder.pauses.go()
    await eventually(lambda: house.types(room).count("actor:turn_start") == 2)
    await other.ask(house.interrupt(room))
    await holder.rested()
    assert [end["status"] for end in house.payloads(room, "actor:turn_end")] == [
        "completed",
        "interrupted",
    ]
    assert house.outputs(room) == ["first"]
