"""Following one room: replay, live, resume, end, and how frames look."""

from __future__ import annotations

import gc

from abbotik_contracts import subjects
from abbotik_gateway.handlers.following.event_stream import EventStream
from tests.eventually import eventually
from tests.fakes.room_history import TENANT
from tests.fakes.streams_world import CALLER, World, request


async def test_replay_then_live_in_one_response(world: World) -> None:
    """A follower gets the log, then what happens, each event once and in order."""
    history = world.room(3)
    reader = await world.follow(history)
    await reader.until(4)
    world.happen(history, *history.notes(3))
    await reader.until(7)
    assert reader.status == 200
    assert reader.seqs == list(range(1, 8))
    assert reader.events == history.records
    assert [frame.id for frame in reader.frames if frame.data] == [str(seq) for seq in range(1, 8)]
    assert reader.body.startswith(b": \nretry: 2000\n\n")
    await reader.leave()


async def test_headers_of_a_stream(world: World) -> None:
    """Nothing on the way may cache or buffer a stream."""
    history = world.room()
    answer = await world.streams.follow(request(None, {"follow": "false"}), CALLER, history.room)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-length" not in answer.headers


async def test_a_follower_resumes_behind_its_cursor(world: World) -> None:
    """`Last-Event-ID` and `after` skip what the reader has."""
    history = world.room(9)
    by_header = await world.follow(history, "7")
    by_query = await world.follow(history, after=8)
    await by_header.until(10)
    await by_query.until(10)
    assert (by_header.seqs, by_query.seqs) == ([8, 9, 10], [9, 10])
    await by_header.leave()
    await by_query.leave()


async def test_followers_of_a_room_share_its_feed(world: World) -> None:
    """However many follow, there is one subscription per subject, gone with the last of them."""
    history = world.room(2)
    readers = [await world.follow(history) for _ in range(20)]
    for reader in readers:
        await reader.until(3)
    assert len(world.signals.subscribed) == 2
    world.log.reads = 0
    world.happen(history, *history.notes(1))
    for reader in readers:
        await reader.until(4)
        await reader.leave()
    assert world.log.reads <= 1
    await eventually(lambda: world.signals.subscribed == {})


async def test_one_batch_is_one_send(world: World) -> None:
    """Whatever queued up for a follower goes out at once."""
    history = world.room()
    reader = await world.follow(history)
    await reader.until(1)
    before = reader.sends
    for entry in history.notes(50):
        world.log.commit(entry)
        world.publish(history, entry)
    await reader.until(51)
    assert reader.sends == before + 1
    await reader.leave()


async def test_the_release_ends_the_stream(world: World) -> None:
    """After `room:released` comes `stream:end`, and a reconnect that has everything gets 204."""
    history = world.room()
    reader = await world.follow(history)
    await reader.until(1)
    world.happen(history, history.release())
    await reader.end()
    assert reader.over
    assert reader.names[-2:] == ["room:released", "stream:end"]
    assert reader.frames[-1].data == {"event_type": "stream:end", "last_seq": 2}
    again = await world.streams.follow(request("2", {}), CALLER, history.room)
    assert again.status_code == 204
    late = await world.follow(history, "1")
    await late.end()
    assert late.names == ["room:released", "stream:end"]


async def test_a_stream_that_ended_is_freed_at_once(world: World) -> None:
    """The collector looks seldom; until then the memory of all who left would grow."""
    history = world.room(3)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            reader = await world.follow(history)
            await reader.until(4)
            await reader.leave()
        await eventually(lambda: world.signals.subscribed == {})
        del reader
        assert not [one for one in gc.get_objects() if isinstance(one, EventStream)]
    finally:
        gc.enable()


async def test_204_needs_the_whole_log(world: World) -> None:
    """A room that lives, and a released one with events left, are streams."""
    history = world.room(1)
    living = await world.streams.follow(request("2", {}), CALLER, history.room)
    assert living.status_code == 200
    world.log.commit(history.release())
    behind = await world.streams.follow(request("2", {}), CALLER, history.room)
    assert behind.status_code == 200


async def test_without_following_the_replay_ends(world: World) -> None:
    """`?follow=false` gives the log as it is and ends, without a subscription."""
    history = world.room(300)
    reader = await world.follow(history, follow="false")
    await reader.end()
    assert reader.over
    assert reader.seqs == list(range(1, 302))
    assert "stream:end" not in reader.names
    assert world.signals.subscribed == {}


async def test_types_filter_and_positions_go_on(world: World) -> None:
    """Only the wanted types are sent, and the cursor still moves to the end."""
    history = world.room(4)
    world.log.commit(*history.turn("m", "t", "o"), *history.notes(2))
    reader = await world.follow(history, types="actor:output", follow="false")
    await reader.end()
    assert reader.names == ["actor:output"]
    assert [frame.id for frame in reader.frames if frame.id][-1] == str(len(history.records))
    assert [frame.comment for frame in reader.frames if frame.id] == [False, True]


async def test_unnamed_frames(world: World) -> None:
    """`?named=false` has no `event:` line anywhere."""
    history = world.room(1)
    world.log.commit(history.release())
    reader = await world.follow(history, named="false")
    await reader.end()
    assert b"event:" not in reader.body
    assert reader.events == history.records


async def test_deltas_reach_followers_of_a_running_turn(world: World) -> None:
    """Text comes between the turn's start and its end, without an id, and never after it."""
    history = world.room()
    start, end = history.turn("m", "t", "o")
    reader = await world.follow(history)
    await reader.until(1)
    world.say(history, "t", "too early")
    world.happen(history, start)
    world.say(history, "t", "hel")
    history.epoch -= 1
    world.say(history, "t", "of an older epoch")
    history.epoch += 1
    world.say(history, "t", "lo")
    world.happen(history, end)
    world.say(history, "t", "too late")
    world.signals.publish(subjects.room_live(TENANT, history.room), b"nonsense")
    await reader.until(6)
    texts = [frame for frame in reader.frames if frame.event == "actor:delta"]
    assert [frame.data["text"] for frame in texts] == ["hel", "lo"]
    assert [frame.id for frame in texts] == [None, None]
    assert reader.names[3:6] == ["actor:delta", "actor:delta", "actor:output"]
    await reader.leave()


async def test_who_joins_within_a_turn_gets_its_deltas(world: World) -> None:
    """The room's newest entry says which turn runs."""
    history = world.room()
    start, _ = history.turn("m", "t", "o")
    world.log.commit(start)
    reader = await world.follow(history, "3")
    await eventually(lambda: len(world.signals.subscribed) == 2)
    await eventually(lambda: reader.body != b"")
    world.say(history, "t", "hi")
    await eventually(lambda: reader.names == ["actor:delta"])
    await reader.leave()
