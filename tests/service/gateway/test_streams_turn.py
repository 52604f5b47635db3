"""The stream of one message's turn, and the wait for its end."""

from __future__ import annotations

import asyncio

from tests.eventually import eventually
from tests.fakes.sse_reader import SseReader
from tests.fakes.streams_world import CALLER, World


async def test_the_stream_of_one_turn(world: World) -> None:
    """It begins with the message, holds its turn and its text, and ends after the turn's end."""
    history = world.room()
    queued = history.message("m")
    world.log.commit(queued)
    answer = await world.streams.turn_stream(CALLER, history.room, "m", 1, {"id": "m"})
    assert answer.headers["location"] == f"/llm/room/{history.room}/messages/m"
    reader = SseReader(answer)
    await reader.until(2)
    start, end = history.turn("m", "t", "o")
    world.happen(history, start)
    world.say(history, "t", "hello")
    world.say(history, "elsewhere", "no")
    world.happen(history, end, *history.notes(2))
    await reader.end()
    assert reader.over
    assert reader.names == [
        "message:queued",
        "room:active",
        "actor:turn_start",
        "actor:delta",
        "actor:output",
        "actor:turn_end",
    ]


async def test_the_stream_of_a_turn_that_is_over(world: World) -> None:
    """A turn that was quicker than its follower is replayed whole."""
    history = world.room()
    world.log.commit(history.message("m"), *history.turn("m", "t", "o"), *history.notes(3))
    reader = SseReader(await world.streams.turn_stream(CALLER, history.room, "m", 1, {"id": "m"}))
    await reader.end()
    assert reader.names[-1] == "actor:turn_end"


async def test_waiting_for_a_turn(world: World) -> None:
    """The wait gives turn, status and outputs, whether the turn ends before or during it."""
    history = world.room()
    world.log.commit(history.message("m"))
    waiting = asyncio.ensure_future(world.streams.turn_end(CALLER, history.room, "m", 1, 5))
    await eventually(lambda: len(world.signals.subscribed) == 2)
    world.happen(history, *history.turn("m", "t", "o"))
    during = await waiting
    after = await world.streams.turn_end(CALLER, history.room, "m", 1, 5)
    assert during == after
    assert during is not None
    assert (during.turn_id, during.status, during.output_ids) == ("t", "completed", ("o",))
    await eventually(lambda: world.signals.subscribed == {})


async def test_waiting_too_short(world: World) -> None:
    """Without an end in time there is none to tell."""
    history = world.room()
    world.log.commit(history.message("m"))
    assert await world.streams.turn_end(CALLER, history.room, "m", 1, 0.05) is None
    await eventually(lambda: world.signals.subscribed == {})


async def test_waiting_ends_with_the_gateway(world: World) -> None:
    """A gateway that goes answers at once with what it knows: no end yet."""
    history = world.room()
    world.log.commit(history.message("m"))
    waiting = asyncio.ensure_future(world.streams.turn_end(CALLER, history.room, "m", 1, 50))
    await eventually(lambda: len(world.signals.subscribed) == 2)
    await world.streams.close("shutdown")
    assert await asyncio.wait_for(waiting, 1) is None


async def test_a_wait_needs_no_log_to_begin(world: World) -> None:
    """A message that was accepted is waited for also while the log cannot be read."""
    history = world.room()
    queued, (start, end) = history.message("m"), history.turn("m", "t", "o")
    world.log.commit(queued)
    world.log.away = True
    waiting = asyncio.ensure_future(world.streams.turn_end(CALLER, history.room, "m", 1, 5))
    await eventually(lambda: len(world.signals.subscribed) == 2)
    world.log.commit(start, end)
    world.publish(history, queued, start, end)
    found = await waiting
    assert found is not None
    assert found.turn_id == "t"


async def test_waiting_in_a_released_room(world: World) -> None:
    """The release is an end too."""
    history = world.room()
    world.log.commit(history.message("m"), history.release())
    end = await world.streams.turn_end(CALLER, history.room, "m", 1, 5)
    assert end is not None
    assert (end.turn_id, end.status) == (None, "withdrawn")
