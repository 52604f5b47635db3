"""What bus and log do to a stream: holes, losses, absences, large and empty entries."""

from __future__ import annotations

import asyncio

import pytest

from abbotik_contracts import subjects
from abbotik_gateway.handlers.following import room_feed
from abbotik_gateway.handlers.following.outbox import MAX_EVENTS
from tests.eventually import eventually
from tests.fakes.room_history import TENANT, Said
from tests.fakes.sse_reader import SseReader
from tests.fakes.streams_world import CALLER, World, request


async def test_a_hole_is_filled_from_the_log_at_once(world: World) -> None:
    """A lost publish that a later event betrays costs a read, not a timer."""
    history = world.room()
    reader = await world.follow(history)
    await reader.until(1)
    lost, seen = history.notes(2)
    world.log.commit(lost)
    world.happen(history, seen)
    await reader.until(3)
    world.publish(history, lost, seen)
    world.publish(history, lost)
    world.happen(history, *history.notes(1))
    await reader.until(4)
    assert reader.seqs == [1, 2, 3, 4]
    await reader.leave()


async def test_a_new_feed_is_read_again_soon(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed before the subscription stood, and published unheard, comes soon."""
    monkeypatch.setattr(room_feed, "AFTER_START_S", 0.05)
    history = world.room()
    reader = await world.follow(history)
    await reader.until(1)
    world.log.commit(*history.notes(1))
    await reader.until(2)
    await reader.leave()


async def test_a_lost_last_event_is_found_by_looking(world: World) -> None:
    """An event whose publish was lost, with nothing after it, comes within seconds."""
    history = world.room()
    reader = await world.follow(history)
    await reader.until(1)
    world.log.commit(*history.notes(1))
    await asyncio.gather(*(world.streams.tick() for _ in range(2)))
    feed = world.streams._feeds.of(history.tenant, history.room)
    assert feed is not None
    feed.look(asyncio.get_running_loop().time() + 3.1)
    await reader.until(2)
    await reader.leave()


async def test_what_was_lost_while_the_bus_was_away_is_read_after_it(world: World) -> None:
    """A reconnect reads the log of every followed room."""
    history = world.room()
    reader = await world.follow(history)
    await reader.until(1)
    world.signals.away = True
    world.happen(history, *history.notes(5))
    await world.signals.reconnect()
    await reader.until(6)
    assert reader.seqs == list(range(1, 7))
    await reader.leave()


async def test_a_long_absence_does_not_cut_followers(world: World) -> None:
    """More events than a queue holds, read after a reconnect, reach a reader that keeps up."""
    history = world.room()
    reader = await world.follow(history)
    await reader.until(1)
    world.signals.away = True
    world.happen(history, *history.notes(5 * MAX_EVENTS, size=500))
    await world.signals.reconnect()
    await reader.until(5 * MAX_EVENTS + 1)
    assert reader.events == history.records
    await reader.leave()


async def test_without_the_log_live_events_go_on_until_a_hole(world: World) -> None:
    """While the log is away contiguous events pass, a hole waits, and nothing is ever skipped."""
    history = world.room()
    reader = await world.follow(history)
    await reader.until(1)
    contiguous, lost, late = history.notes(3)
    world.log.away = True
    world.happen(history, contiguous)
    await reader.until(2)
    world.log.commit(lost)
    world.happen(history, late)
    await asyncio.sleep(0)
    assert reader.seqs == [1, 2]
    world.log.away = False
    await reader.until(4)
    assert reader.seqs == [1, 2, 3, 4]
    await reader.leave()


async def test_a_log_that_goes_away_in_replay_is_waited_for(world: World) -> None:
    """A replay goes on where it was once the log is back."""
    history = world.room(5)
    answer = await world.streams.follow(request(None, {}), CALLER, history.room)
    world.log.away = True
    reader = SseReader(answer)
    await eventually(lambda: reader.body != b"")
    assert reader.seqs == []
    world.log.away = False
    await reader.until(6)
    assert reader.seqs == list(range(1, 7))
    await reader.leave()


async def test_what_a_worker_garbles_is_read_from_the_log(world: World) -> None:
    """A message that is no event only has the log read."""
    history = world.room()
    reader = await world.follow(history)
    await reader.until(1)
    world.log.commit(*history.notes(1))
    world.signals.publish(subjects.room_events(TENANT, history.room), b"{garbled")
    await reader.until(2)
    await reader.leave()


async def test_large_events_are_paged_by_bytes(world: World) -> None:
    """A replay of large events comes in pages that a slow reader's memory can hold."""
    history = world.room()
    world.log.commit(*history.notes(40, size=60_000))
    reader = await world.follow(history, follow="false")
    await reader.end()
    assert reader.seqs == list(range(1, 42))
    assert len(reader.body) / reader.sends < 200_000


async def test_entries_without_events_are_passed_over(world: World) -> None:
    """Refusals stand in the log too, and a page may hold nothing else."""
    history = world.room()
    world.log.commit(*(history.add() for _ in range(100)))
    world.log.commit(history.add(Said("room:wake")))
    reader = await world.follow(history, follow="false")
    await reader.end()
    assert reader.seqs == [1, 2]
