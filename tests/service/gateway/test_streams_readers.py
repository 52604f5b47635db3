"""Readers that are slow, stall or stay silent, and streams that have to end."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.handlers.following import event_stream
from abbotik_gateway.handlers.following.outbox import MAX_BYTES, MAX_EVENTS
from tests.eventually import eventually
from tests.fakes.sse_reader import SseReader
from tests.fakes.streams_world import CALLER, World, code_of, request


async def test_a_slow_reader_is_cut_and_told_where(world: World) -> None:
    """Past the bound the stream ends with `stream:lagged`; others go on, and the cursor resumes."""
    history = world.room()
    slow, quick = await world.follow(history), await world.follow(history)
    await slow.until(1)
    await quick.until(1)
    slow.stall()
    for _ in range(MAX_EVENTS + 10):
        world.happen(history, *history.notes(1, size=100))
        await asyncio.sleep(0)
    await quick.until(MAX_EVENTS + 11)
    slow.read_on()
    await slow.end()
    assert slow.frames[-1].data == {"event_type": "stream:lagged", "last_seq": slow.seqs[-1]}
    assert slow.seqs == list(range(1, slow.seqs[-1] + 1))
    assert world.meters.cut == 1
    again = await world.follow(history, str(slow.seqs[-1]))
    await again.until(MAX_EVENTS + 11)
    assert slow.events + again.events == history.records
    await again.leave()
    await quick.leave()


async def test_deltas_are_dropped_before_events(world: World) -> None:
    """A reader that stalls through a flood of text misses text, and no event."""
    history = world.room()
    start, end = history.turn("m", "t", "o")
    reader = await world.follow(history)
    await reader.until(1)
    world.happen(history, start)
    await reader.until(3)
    reader.stall()
    for _ in range(3):
        world.say(history, "t", "x" * (MAX_BYTES // 2))
        await asyncio.sleep(0)
    world.happen(history, end)
    reader.read_on()
    await reader.until(6)
    assert reader.seqs == [1, 2, 3, 4, 5, 6]
    await reader.leave()


async def test_a_stalled_reader_is_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that stands for the stall time aborts the connection."""
    monkeypatch.setattr(event_stream, "STALL_S", 0.0)
    history = world.room()
    reader = await world.follow(history)
    await reader.until(1)
    reader.stall()
    world.happen(history, *history.notes(1))
    await eventually(lambda: reader.waited_for)
    await world.streams.tick()
    await reader.end()
    assert reader.aborted


async def test_a_connection_that_breaks_stops_no_other_follower(world: World) -> None:
    """It is dropped; who follows after it has the event."""
    history = world.room()
    broken, other = await world.follow(history), await world.follow(history)
    await broken.until(1)
    await other.until(1)
    broken.breaks = True
    world.happen(history, *history.notes(1))
    await other.until(2)
    await broken.end()
    assert broken.aborted
    assert broken.seqs == [1]
    await other.leave()


async def test_a_server_without_extensions_has_its_task_send_and_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the connection can be neither written nor aborted, the request's task does it all."""
    monkeypatch.setattr(event_stream, "STALL_S", 0.0)
    history = world.room()
    answer = await world.streams.follow(request(None, {}), CALLER, history.room)
    reader = SseReader(answer, extensions=False)
    await reader.until(1)
    world.happen(history, *history.notes(1))
    await reader.until(2)
    reader.stall()
    world.happen(history, *history.notes(1))
    await eventually(lambda: reader.waited_for)
    await world.streams.tick()
    with pytest.raises(asyncio.CancelledError):
        await reader.task


async def test_silence_is_broken_by_heartbeats(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet line carries a comment after the heartbeat's time, and none before."""
    history = world.room()
    reader = await world.follow(history)
    await reader.until(1)
    await world.streams.tick()
    await asyncio.sleep(0)
    assert b": keep-alive\n\n" not in reader.body
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.0)
    await world.streams.tick()
    await eventually(lambda: reader.body.endswith(b": keep-alive\n\n"))
    await reader.leave()


async def test_the_stream_ends_with_the_token(world: World) -> None:
    """Past the token's end the stream says so and closes."""
    history = world.room()
    mortal = replace(CALLER, token_expires_at=world.clock.now + 5000)
    reader = await world.follow(history, caller=mortal)
    await reader.until(1)
    await world.streams.tick()
    world.clock.now += 5000
    await world.streams.tick()
    await reader.end()
    assert reader.frames[-1].data == {"event_type": "stream:closing", "reason": "token_expired"}


async def test_closing_tells_every_reader(world: World) -> None:
    """On shutdown each stream ends with `stream:closing`, a stalled one is dropped, none opens."""
    history = world.room()
    readers = [await world.follow(history) for _ in range(3)]
    for reader in readers:
        await reader.until(1)
    await world.streams.close("shutdown")
    for reader in readers:
        await reader.end()
        assert reader.frames[-1].data == {"event_type": "stream:closing", "reason": "shutdown"}
    late = await world.follow(history)
    with pytest.raises(Problem) as caught:
        await late.end()
    assert code_of(caught) == (503, "SERVICE_UNAVAILABLE")
