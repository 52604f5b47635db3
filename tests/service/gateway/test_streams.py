"""Streams end to end inside the gateway, on a log and a bus in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response

from abbotik_contracts import subjects
from abbotik_contracts.room_log import LogEntry
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.handlers.following import event_stream, room_feed
from abbotik_gateway.handlers.following.log_events import LogEvents
from abbotik_gateway.handlers.following.open_streams import OpenStreams
from abbotik_gateway.handlers.following.outbox import MAX_BYTES, MAX_EVENTS
from abbotik_gateway.handlers.following.room_streams import RoomStreams
from abbotik_gateway.handlers.seen import SeenRevs
from tests.eventually import eventually
from tests.fakes.room_history import TENANT, RoomHistory, Said, delta, published
from tests.fakes.sse_reader import SseReader
from tests.fakes.streams import FakeClock, FakeMeters, FakeRoomLog, FakeSignals, FakeTickets

CALLER = Caller("u", "user", TENANT, "Acme", "read", "dev", is_root=False, token_expires_at=None)


@dataclass
class World:
    """The streams with everything that they stand on."""

    streams: RoomStreams
    log: FakeRoomLog
    signals: FakeSignals
    clock: FakeClock
    meters: FakeMeters

    def room(self, notes: int = 0) -> RoomHistory:
        """Rent a room and let some events happen."""
        history = RoomHistory()
        self.log.commit(history.rent(), *history.notes(notes))
        return history

    def happen(self, history: RoomHistory, *entries: LogEntry) -> None:
        """Commit entries and publish each."""
        for entry in entries:
            self.log.commit(entry)
            self.publish(history, entry)

    def publish(self, history: RoomHistory, *entries: LogEntry) -> None:
        """Publish what was committed, as one message."""
        subject = subjects.room_events(history.tenant, history.room)
        self.signals.publish(subject, published(*entries))

    def say(self, history: RoomHistory, turn_id: str, text: str) -> None:
        """Publish a delta."""
        subject = subjects.room_live(history.tenant, history.room)
        self.signals.publish(subject, delta(history.room, turn_id, history.epoch, text))

    async def follow(
        self, history: RoomHistory, header: str | None = None, caller: Caller = CALLER, **query: Any
    ) -> SseReader:
        """Follow a room."""
        answer = await self.streams.follow(request(header, query), caller, history.room)
        return SseReader(answer)


def request(header: str | None, query: dict[str, Any]) -> Request:
    """Make the request of a follower."""
    headers = [] if header is None else [(b"last-event-id", header.encode())]
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/llm/room/x/events",
            "headers": headers,
            "query_string": urlencode(query).encode(),
            "server": ("test", 80),
            "scheme": "http",
        }
    )


def code_of(caught: pytest.ExceptionInfo[Problem]) -> tuple[int, str]:
    """Return status and code."""
    return caught.value.status, caught.value.code


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Streams without their timers: tests tick themselves, and no late look hides a fault."""
    monkeypatch.setattr(room_feed, "AFTER_START_S", 3600)
    log, signals, clock, meters = FakeRoomLog(), FakeSignals(), FakeClock(), FakeMeters()
    opened = OpenStreams(meters, FakeTickets(), clock)
    streams = RoomStreams(LogEvents(log, SeenRevs()), signals, opened)
    yield World(streams, log, signals, clock, meters)
    log.away = False
    await streams.close("test")
    assert signals.subscribed == {}
    assert meters.open == 0


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
    await asyncio.sleep(0)
    await world.streams.tick()
    await reader.end()
    assert reader.aborted


async def test_a_server_without_abort_has_its_task_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the connection cannot be aborted the request is cancelled."""
    monkeypatch.setattr(event_stream, "STALL_S", 0.0)
    history = world.room()
    answer = await world.streams.follow(request(None, {}), CALLER, history.room)
    reader = SseReader(answer, can_abort=False)
    await reader.until(1)
    reader.stall()
    world.happen(history, *history.notes(1))
    await asyncio.sleep(0)
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


async def test_refusals_before_the_stream(world: World) -> None:
    """Unknown, foreign and malformed rooms are 404, bad positions 400, ones ahead 409."""
    history = world.room(1)
    stranger = replace(CALLER, tenant="other")
    for caller, room in ((CALLER, RoomHistory().room), (stranger, history.room), (CALLER, "x.y")):
        with pytest.raises(Problem) as caught:
            await world.streams.follow(request(None, {}), caller, room)
        assert code_of(caught) == (404, "ROOM_NOT_FOUND")
    with pytest.raises(Problem) as caught:
        await world.follow(history, "abc")
    assert code_of(caught) == (400, "CURSOR_INVALID")
    with pytest.raises(Problem) as caught:
        await world.follow(history, "3")
    assert code_of(caught) == (409, "CURSOR_AHEAD")
    assert caught.value.extra == {"last_event_seq": 2}
    with pytest.raises(Problem) as caught:
        await world.follow(history, after=2**63 - 1)
    assert code_of(caught) == (409, "CURSOR_AHEAD")


async def test_a_cursor_that_the_log_reaches_in_a_moment_is_taken(world: World) -> None:
    """A log that is behind what the client saw is asked again before 409."""
    history = world.room()
    entry = history.notes(1)[0]
    asyncio.get_running_loop().call_later(0.05, world.log.commit, entry)
    reader = await world.follow(history, "2")
    world.happen(history, *history.notes(1))
    await reader.until(3)
    assert reader.seqs == [3]
    await reader.leave()


async def test_a_bus_that_was_never_reached_is_503(world: World) -> None:
    """Without a bus a stream cannot begin, and says so before its first byte."""
    world.signals.never_reached = True
    reader = await world.follow(world.room())
    with pytest.raises(Problem) as caught:
        await reader.end()
    assert code_of(caught) == (503, "SERVICE_UNAVAILABLE")


async def test_a_page_of_json(world: World) -> None:
    """`?format=json` pages through the log with an opaque cursor."""
    history = world.room(9)
    query: dict[str, Any] = {"format": "json", "limit": 4}
    seen: list[Any] = []
    while True:
        answer = await world.streams.follow(request(None, query), CALLER, history.room)
        body = orjson.loads(answer.body)
        assert body["success"] is True
        seen += body["data"]
        assert ("link" in answer.headers) == body["has_more"]
        query["cursor"] = body["next_cursor"]
        if not body["has_more"]:
            break
    assert seen == history.records
    assert body["next_cursor"] == "10"


async def test_a_page_of_json_is_filtered_and_refused_like_a_stream(world: World) -> None:
    """Types filter a page; bad cursors have the same codes."""
    history = world.room(3)
    world.log.commit(*history.turn("m", "t", "o"))
    wanted = {"format": "json", "types": "actor:output"}
    answer = await world.streams.follow(request(None, wanted), CALLER, history.room)
    body = orjson.loads(answer.body)
    assert [event["event_type"] for event in body["data"]] == ["actor:output"]
    assert body["next_cursor"] == str(len(history.records))
    for cursor, code in (("x", "CURSOR_INVALID"), ("99", "CURSOR_AHEAD")):
        with pytest.raises(Problem) as caught:
            await world.streams.follow(
                request(None, {"format": "json", "cursor": cursor}), CALLER, history.room
            )
        assert caught.value.code == code
    with pytest.raises(Problem) as caught:
        await world.streams.follow(request(None, {"format": "xml"}), CALLER, history.room)
    assert caught.value.code == "VALIDATION_FAILED"


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


async def test_waiting_in_a_released_room(world: World) -> None:
    """The release is an end too."""
    history = world.room()
    world.log.commit(history.message("m"), history.release())
    end = await world.streams.turn_end(CALLER, history.room, "m", 1, 5)
    assert end is not None
    assert (end.turn_id, end.status) == (None, "withdrawn")


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
