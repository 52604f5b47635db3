"""What is refused before a stream begins, and pages of JSON."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from abbotik_gateway.domain.problem import Problem
from tests.fakes.room_history import RoomHistory
from tests.fakes.streams_world import CALLER, World, code_of, request


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


async def test_a_page_of_json_begins_where_a_stream_would(world: World) -> None:
    """The header wins over `after`, and the cursor of the page before over both."""
    history = world.room(9)
    for header, query, first in (
        ("7", {}, 8),
        ("7", {"after": "3"}, 8),
        (None, {"after": "3"}, 4),
        ("7", {"cursor": "5"}, 6),
    ):
        asked = request(header, {"format": "json", **query})
        answer = await world.streams.follow(asked, CALLER, history.room)
        assert orjson.loads(answer.body)["data"][0]["seq"] == first


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
