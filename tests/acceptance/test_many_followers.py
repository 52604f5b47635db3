"""Streams under stress: a thousand followers of a room, and one that reconnects so often."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from bench.crowd import Crowd
from bench.wire import Target
from tests.acceptance.room_client import RoomClient
from tests.eventually import eventually
from tests.stack import Stack

FOLLOWERS = 500
MESSAGES = 10
RECONNECTS = 1_000
_PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack with two gateways."""
    with Stack(tmp_path_factory.mktemp("followers"), gateways=2) as running:
        yield running


async def test_a_thousand_followers_see_every_event_once(stack: Stack) -> None:
    """Over two gateways each of them gets all events, none twice, and nobody is cut off."""
    async with httpx.AsyncClient(timeout=20) as http:
        client = RoomClient(stack.urls, stack.headers, http)
        room = await client.rent()
        crowds = [Crowd(FOLLOWERS, frozenset()) for _ in stack.urls]
        for crowd, url in zip(crowds, stack.urls, strict=True):
            target = Target(urlsplit(url).port or 0, stack.token)
            await crowd.connect(target, f"/llm/room/{room}/events")
        for number in range(MESSAGES):
            await client.post(room, f"number {number}")
        log = await client.follow(room, until="actor:turn_end", count=MESSAGES)
        # The rest of the last turn's commit: the room is idle.
        events = len(log) + 1

        def all_have_it() -> bool:
            return all(crowd.deliveries >= FOLLOWERS * events for crowd in crowds)

        await eventually(all_have_it, within_s=_PATIENCE_S)
        for crowd in crowds:
            crowd.check()
            crowd.close()
    assert [crowd.deliveries for crowd in crowds] == [FOLLOWERS * events] * len(crowds)


async def test_a_thousand_reconnects_end_with_the_log(stack: Stack) -> None:
    """A follower that leaves at random moments and comes back by its cursor, to any gateway."""
    chance = random.Random(7)  # noqa: S311  a seed has to give the same run again
    async with httpx.AsyncClient(timeout=20) as http:
        client = RoomClient(stack.urls, stack.headers, http)
        room = await client.rent()
        talking = asyncio.create_task(_talk(client, room))
        seen: list[dict[str, Any]] = []
        for _ in range(RECONNECTS):
            seen += await _glance(http, stack, room, seen[-1]["seq"] if seen else 0, chance)
        talking.cancel()
        await asyncio.wait({talking})
        await client.send("POST", f"/llm/room/{room}/release", {})
        log = await client.follow(room, until="room:released")
        while len(seen) < len(log):
            seen += await _glance(http, stack, room, seen[-1]["seq"] if seen else 0, chance)
    assert seen == log


async def _talk(client: RoomClient, room: str) -> None:
    """Keep the room streaming."""
    while True:
        await client.post(room, "!stream 5 one two three four five six seven")
        await client.follow(room, until="actor:turn_end")


async def _glance(
    http: httpx.AsyncClient, stack: Stack, room: str, after: int, chance: random.Random
) -> list[dict[str, Any]]:
    """Follow for a random short while, and return what came."""
    seen: list[dict[str, Any]] = []
    client = RoomClient([chance.choice(stack.urls)], stack.headers, http)
    try:
        async with asyncio.timeout(chance.choice((0.005, 0.02, 0.05))):
            await client.read_on(room, after, seen.append)
    except TimeoutError:
        return seen
    return seen
