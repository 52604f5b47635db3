"""Streams over a real NATS, a real MongoDB and real connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from abbotik_contracts import subjects
from abbotik_gateway.adapters.authority_dev import TENANT, DevAuthority
from abbotik_gateway.adapters.tickets import TICKETS
from abbotik_gateway.handlers.following import event_stream
from abbotik_gateway.handlers.following.event_stream import EventStream
from abbotik_runtime import mongo
from abbotik_runtime.bus import Bus
from abbotik_runtime.mongo import Database
from abbotik_runtime.settings import ServiceSettings
from tests.eventually import eventually
from tests.fakes.room_history import RoomHistory, delta
from tests.fakes.sse_socket import SseSocket
from tests.fakes.streams_plane import Plane, plane_on
from tests.servers import Child, Missing, not_without, packaged_mongo


@pytest.fixture
async def plane(streams: Bus, database: Database) -> AsyncIterator[Plane]:
    """Streams over the run's servers."""
    async with plane_on(streams, database) as found:
        yield found


async def test_replay_follow_and_resume(plane: Plane) -> None:
    """One response holds the log and what happens then; another resumes behind a cursor."""
    history = await plane.room(700)
    reader = await plane.follow(history)
    await reader.until(701)
    await plane.happen(history, *history.turn("m", "t", "o"))
    await reader.until(706)
    again = await plane.follow(history, header="704")
    await again.until(706)
    assert reader.events == history.records
    assert again.events == history.records[704:]
    assert reader.status == 200
    reader.close()
    again.close()


async def test_deltas_travel_live(plane: Plane) -> None:
    """Text of a running turn arrives without being stored."""
    history = await plane.room()
    reader = await plane.follow(history)
    await reader.until(1)
    start, end = history.turn("m", "t", "o")
    await plane.happen(history, start)
    await reader.until(3)
    live = subjects.room_live(TENANT, history.room)
    for text in ("he", "llo"):
        await plane.bus.publish(live, delta(history.room, "t", history.epoch, text))
    await eventually(lambda: reader.body.count(b"event: actor:delta") == 2)
    await plane.happen(history, end)
    await reader.until(6)
    assert reader.events == history.records
    reader.close()


async def test_lost_doubled_and_late_publishes(plane: Plane) -> None:
    """A hole is filled from the log, a double is dropped, and order holds."""
    history = await plane.room()
    reader = await plane.follow(history)
    await reader.until(1)
    first, second, third = history.notes(3)
    await plane.commit(first, second, third)
    await plane.publish(history, third, second, third)
    await reader.until(4)
    await plane.publish(history, first, second, third)
    await plane.happen(history, *history.notes(1))
    await reader.until(5)
    assert reader.events == history.records
    reader.close()


async def test_an_event_whose_publish_was_lost_comes_within_seconds(plane: Plane) -> None:
    """With nothing on the bus at all, the log is looked at again and again."""
    history = await plane.room()
    reader = await plane.follow(history)
    await reader.until(1)
    for _ in range(2):
        await plane.commit(*history.notes(1))
        await reader.until(history.entries[-1]["last_event_seq"], within_s=6)
    assert reader.events == history.records
    reader.close()


async def test_the_release_ends_the_stream_and_then_there_is_nothing(plane: Plane) -> None:
    """`stream:end` after `room:released`; a reconnect that has everything gets 204."""
    history = await plane.room(2)
    reader = await plane.follow(history)
    await reader.until(3)
    await plane.happen(history, history.release())
    await eventually(lambda: reader.over)
    assert reader.frames[-1].data == {"event_type": "stream:end", "last_seq": 4}
    again = await plane.follow(history, header="4")
    await eventually(lambda: again.status == 204)
    late = await plane.follow(history, "?named=false&after=3")
    await eventually(lambda: late.over)
    assert [event["event_type"] for event in late.events] == ["room:released"]
    assert b"event:" not in late.body
    for one in (reader, again, late):
        one.close()


async def test_nobody_elses_room(plane: Plane) -> None:
    """A room of another tenant does not exist."""
    history = RoomHistory("other")
    await plane.commit(history.rent())
    reader = await plane.follow(history)
    await eventually(lambda: reader.status == 404)
    assert b"ROOM_NOT_FOUND" in reader.body
    reader.close()


async def test_five_hundred_followers(plane: Plane) -> None:
    """All of them have every event once and in order, over two subscriptions."""
    history = await plane.room(5)
    readers = [await plane.follow(history) for _ in range(500)]
    for reader in readers:
        await reader.until(6, within_s=30)
    assert plane.streams.followed == 1
    for entry in history.notes(20):
        await plane.happen(history, entry)
    for reader in readers:
        await reader.until(26, within_s=30)
    expected = readers[0].body
    assert readers[0].events == history.records
    assert all(reader.body.count(b"\nid: ") == 26 for reader in readers)
    assert expected.count(b"\nid: ") == 26
    assert plane.meters.open == 500
    for reader in readers:
        reader.close()
    await eventually(lambda: plane.meters.open == 0)
    await eventually(lambda: plane.streams.followed == 0)


async def test_a_reader_that_stops_reading(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs 256 KiB at most, is dropped in time, and nobody else notices."""
    monkeypatch.setattr(event_stream, "STALL_S", 1.0)
    history = await plane.room()
    quick = await plane.follow(history)
    slow = [await plane.follow(history, buffer=4096) for _ in range(20)]
    for reader in (quick, *slow):
        await reader.until(1)
    for reader in slow:
        reader.stall()
    before, held = psutil.Process().memory_info().rss, 0
    for _ in range(60):
        await plane.happen(history, *history.notes(5, size=20_000))
        await quick.until(history.entries[-1]["last_event_seq"])
        held = max(held, *map(_unsent_bytes, plane.opened._streams))
    # 6 MB were not sent to each.
    assert 128 * 1024 < held <= 256 * 1024
    # The process has its readers in it too, and what its allocator keeps.
    assert psutil.Process().memory_info().rss - before < 20 * 1_500_000 + 2 * len(quick.body)
    await eventually(lambda: plane.meters.open == 1, within_s=10)
    assert quick.events == history.records
    quick.close()
    for reader in slow:
        reader.close()


def _unsent_bytes(stream: EventStream) -> int:
    """Return what waits for a reader in this process: in the queue, and in the transport."""
    transport = getattr(stream._abort, "__self__", None)
    return stream.outbox._bytes + (transport.get_write_buffer_size() if transport else 0)


async def test_a_slow_reader_that_reads_on_learns_where_it_was_cut(plane: Plane) -> None:
    """After `stream:lagged{last_seq}` a reconnect from there has the rest."""
    history = await plane.room()
    slow = await plane.follow(history, buffer=4096)
    await slow.until(1)
    slow.stall()
    for _ in range(60):
        await plane.happen(history, *history.notes(5, size=20_000))
    await eventually(lambda: history.entries[-1]["last_event_seq"] == 301)
    slow._transport.resume_reading()
    await eventually(lambda: slow.over)
    last = slow.frames[-1]
    assert last.event == "stream:lagged"
    assert slow.events == history.records[: last.data["last_seq"]]
    assert plane.meters.cut == 1
    again = await plane.follow(history, header=str(last.data["last_seq"]))
    await again.until(301)
    assert slow.events + again.events == history.records
    slow.close()
    again.close()


async def test_several_rooms_resume_each_for_itself(plane: Plane) -> None:
    """One connection follows both rooms from their own positions."""
    one, two = await plane.room(3), await plane.room(3)
    path = f"/llm/events?rooms={one.room}:2,{two.room}"
    reader = await SseSocket.open(plane.port, path)
    await eventually(lambda: len(reader.events) == 6)
    await plane.happen(two, *two.notes(1))
    await eventually(lambda: len(reader.events) == 7)
    for history, first in ((one, 3), (two, 1)):
        mine = [event for event in reader.events if event["room_id"] == history.room]
        assert mine == history.records[first - 1 :]
    reader.close()


async def test_shutdown_tells_readers(streams: Bus, database: Database) -> None:
    """A gateway that goes ends its streams with the reason, at once."""
    async with plane_on(streams, database) as plane:
        history = await plane.room()
        reader = await plane.follow(history)
        await reader.until(1)
    assert reader.over
    assert reader.frames[-1].data == {"event_type": "stream:closing", "reason": "shutdown"}


async def test_a_bus_that_restarts(
    own_nats: tuple[Child, str], settings: ServiceSettings, database: Database
) -> None:
    """Events committed while NATS was away arrive soon after it is back, and live ones go on."""
    child, url = own_nats
    bus = await Bus.open(settings.model_copy(update={"nats_url": url}), "test")
    async with plane_on(bus, database) as plane:
        history = await plane.room()
        reader = await plane.follow(history)
        await reader.until(1)
        child.kill()
        await eventually(lambda: not bus.connected)
        await plane.commit(*history.notes(3))
        during = await plane.follow(history)
        await during.until(4)
        child.start()
        await eventually(lambda: bus.connected)
        await reader.until(4, within_s=5)
        await plane.happen(history, *history.notes(2))
        await reader.until(6, within_s=5)
        await during.until(6, within_s=5)
        assert reader.events == during.events == history.records
        reader.close()
        during.close()
    await bus.close()


async def test_a_log_that_restarts(streams: Bus, settings: ServiceSettings, tmp_path: Path) -> None:
    """While MongoDB is away contiguous events pass and a hole waits; nothing is skipped."""
    try:
        child, url = packaged_mongo(tmp_path)
    except Missing as missing:
        not_without(str(missing))
    child.start()
    own = settings.model_copy(update={"mongo_url": url})
    client = mongo.connect(own, "test")
    async with plane_on(streams, mongo.database(client, own)) as plane:
        history = await plane.room()
        reader = await plane.follow(history)
        await reader.until(1)
        contiguous, lost, late = history.notes(3)
        await plane.commit(contiguous, lost, late)
        child.kill()
        await plane.publish(history, contiguous, late)
        await reader.until(2)
        refused = await plane.follow(history, header="9")
        await eventually(lambda: refused.status == 503)
        assert reader.last == 2
        child.start()
        await reader.until(4)
        assert reader.events == history.records
        reader.close()
        refused.close()
    await client.close()
    child.stop()


async def test_tickets(plane: Plane) -> None:
    """A ticket opens its room without a header, again and again, and no other room."""
    caller = await DevAuthority("user-token", "root-token").identify("user-token")
    assert caller is not None
    history, other = await plane.room(), await plane.room()
    record = await plane.ticketing.issue(caller, history.room)
    text = str(record["ticket"])
    stored = await plane.database[TICKETS].find_one({})
    assert stored is not None
    assert text not in str(stored)

    async def status(room: str, ticket: str = text) -> int:
        path = f"/llm/room/{room}/events?follow=false&ticket={ticket}"
        reader = await SseSocket.open(plane.port, path, bearer=False)
        await eventually(lambda: reader.status)
        reader.close()
        return reader.status

    assert await status(other.room) == 401
    assert await status(history.room, "forged") == 401
    assert await status(history.room) == 200
    plane.clock.now += 9 * 60_000
    assert await status(history.room) == 200
    plane.clock.now += 13 * 60_000
    assert await status(history.room) == 401
