"""The client library over a real stack: what it proves of a log, and whom it asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from abbotik_cli.ports import Ports
from abbotik_client import Client, Mark, RefusedError, UnreachableError
from tests.acceptance.room_client import Record, RoomClient
from tests.stack import Stack

# More than a page holds.
MESSAGES = 260
UNKNOWN = "01927d3e-8c1b-7a53-9b1f-000000000001"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack."""
    with Stack(tmp_path_factory.mktemp("client")) as running:
        yield running


@pytest.fixture
async def entries(stack: Stack) -> AsyncIterator[AsyncCollection[Record]]:
    """Return the log as somebody sees it who may write into MongoDB."""
    async with AsyncMongoClient[Record](stack.mongo_url) as mongo:
        yield mongo[stack.database]["room_log"]


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    """Return a client that knows of a gateway which is not there, besides the real one."""
    gone = f"http://127.0.0.1:{Ports().take()}"
    async with Client([gone, stack.url], stack.token) as running:
        yield running


async def _room(stack: Stack, messages: int) -> str:
    async with httpx.AsyncClient(timeout=20) as http:
        rooms = RoomClient(stack.urls, stack.headers, http)
        room = await rooms.rent()
        for number in range(messages):
            await rooms.post(room, f"!say {number}")
        await rooms.follow(room, until="actor:turn_end", count=messages)
        return room


async def test_long_log_is_proved_over_pages(stack: Stack, client: Client) -> None:
    """All of its events are read, once, and its end is that of the log."""
    room = await _room(stack, MESSAGES)
    events = [event async for event in client.events(room)]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len(events) > 1000
    report = await client.verify_log(room)
    assert report.sound
    assert report.end == Mark(events[-1]["seq"], events[-1]["hash"])
    assert [event async for event in client.events(room, after=len(events) - 1)] == events[-1:]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"$set": {"events.0.payload.text": "another"}}, "was changed: its content"),
        ({"$pop": {"events": 1}}, "is missing"),
        ({"$push": {"events": None}}, "was inserted"),
    ],
)
async def test_who_touches_the_log_is_found_out(
    stack: Stack,
    client: Client,
    entries: AsyncCollection[Record],
    change: Record,
    fault: str,
) -> None:
    """What was changed, left out or put in is named."""
    room = await _room(stack, 2)
    first_end = await entries.find_one({"room": room, "events.type": "actor:turn_end"})
    assert first_end is not None
    if "$push" in change:
        change = {"$push": {"events": first_end["events"][-1]}}
    await entries.update_one({"_id": first_end["_id"]}, change)
    report = await client.verify_log(room)
    assert not report.sound
    assert any(fault in one for one in report.faults), report.faults


async def test_log_that_was_made_anew_misses_what_was_noted(stack: Stack, client: Client) -> None:
    """A noted place tells a log from another one that is sound in itself."""
    room = await _room(stack, 1)
    noted = (await client.verify_log(room)).end
    assert (await client.verify_log(room, noted)).sound
    report = await client.verify_log(room, Mark(noted.seq, "0" * 64))
    (fault,) = report.faults
    assert fault.startswith(f"event {noted.seq} does not have the hash that was noted")
    later = await client.verify_log(room, Mark(noted.seq + 1, noted.hash))
    assert later.faults == (
        f"event {noted.seq + 1} was noted and is missing: the log was cut off, or made anew",
    )


async def test_unknown_room_is_refused(client: Client) -> None:
    """A refusal has its code."""
    with pytest.raises(RefusedError, match="ROOM_NOT_FOUND") as refused:
        await client.verify_log(UNKNOWN)
    assert (refused.value.status, refused.value.code) == (404, "ROOM_NOT_FOUND")


async def test_nobody_there_is_said_in_time() -> None:
    """After its patience it says whom it asked."""
    url = f"http://127.0.0.1:{Ports().take()}"
    async with Client([url], "token", patience_s=0.3) as client:
        with pytest.raises(UnreachableError, match=url):
            await asyncio.wait_for(client.verify_log(UNKNOWN), 5)
