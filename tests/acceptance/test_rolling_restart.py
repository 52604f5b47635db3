"""Restart every service in turn while forty rooms stream: nobody notices."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance.promises import answered, broken
from tests.acceptance.room_client import RoomClient
from tests.stack import Stack

ROOMS = 40
# Turns in these rooms outlast the three seconds that a stopping worker gives them.
LONG_ROOMS = 8
DRAIN_S = 10.0
SETTLE_S = 30.0
_AGAIN_S = 0.1


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack in which every service that has work has a second process."""
    with Stack(tmp_path_factory.mktemp("rolling"), gateways=2, room_workers=3) as running:
        yield running


class Use:
    """One room in use: messages posted as fast as it answers them, and a follower of its own.

    ``expected`` is the answer to each message that a gateway accepted, by the message's id.
    """

    def __init__(self, client: RoomClient, room: str, *, long: bool) -> None:
        self.room = room
        self.expected: dict[str, str] = {}
        self.seen: list[dict[str, Any]] = []
        self._client = client
        # Milliseconds before each word, words, messages that wait or run at a time.
        self._pace_ms, self._words, self._most_open = (150, 40, 1) if long else (20, 30, 2)
        self._posted = 0
        self._ended = 0
        self._stopping = False
        self._released = False
        self._change = asyncio.Event()

    async def run(self) -> None:
        """Use the room until told to stop, let its turns end, release it, follow to its end."""
        follower = asyncio.create_task(self._follow())
        for number in itertools.count():
            await self._until_open(self._most_open - 1)
            if self._stopping:
                break
            await self._post(number)
        async with asyncio.timeout(SETTLE_S):
            await self._until_open(0)
            await self._client.send("POST", f"/llm/room/{self.room}/release", {})
            await follower

    def stop(self) -> None:
        """Post no more."""
        self._stopping = True

    async def _post(self, number: int) -> None:
        text = " ".join([self.room, str(number), *(f"word{n}" for n in range(self._words))])
        self._posted += 1
        message = await self._client.post(self.room, f"!stream {self._pace_ms} {text}")
        self.expected[message["id"]] = text

    async def _until_open(self, most: int) -> None:
        while self._posted - self._ended > most:
            await self._change.wait()
            self._change.clear()

    async def _follow(self) -> None:
        while not self._released:
            try:
                after = self.seen[-1]["seq"] if self.seen else 0
                await self._client.read_on(self.room, after, self._saw)
            except httpx.TransportError:
                await asyncio.sleep(_AGAIN_S)

    def _saw(self, event: dict[str, Any]) -> bool:
        self.seen.append(event)
        self._ended += event["event_type"] == "actor:turn_end"
        self._released = event["event_type"] == "room:released"
        self._change.set()
        return self._released


async def test_restarting_every_service_is_not_noticed(stack: Stack) -> None:
    """No turn fails, no event is lost or doubled; what is too long to wait for is handed over."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=20, limits=limits) as http:
        client = RoomClient(stack.urls, stack.headers, http)
        rooms = await asyncio.gather(*(client.rent() for _ in range(ROOMS)))
        uses = [Use(client, room, long=n < LONG_ROOMS) for n, room in enumerate(rooms)]
        async with asyncio.TaskGroup() as group:
            for use in uses:
                group.create_task(use.run())
            drained = [await asyncio.to_thread(_restart, stack, name) for name in _services(stack)]
            for use in uses:
                use.stop()
        logs = [await client.log(room) for room in rooms]
    found = [
        problem for use, log in zip(uses, logs, strict=True) for problem in _problems(use, log)
    ]
    assert found == []
    assert max(drained) < DRAIN_S, drained
    assert any(_recoveries(log) for log in logs), "no turn was long enough to be handed over"


def _services(stack: Stack) -> list[str]:
    return [name for name in stack.pids if name not in ("nats-server", "mongod")]


def _restart(stack: Stack, name: str) -> float:
    """Stop a process as a rollout does, start it again, and return how long it took to stop."""
    child, began = stack._children[name], time.monotonic()
    stack.kill(name, signal.SIGTERM)
    assert child.wait(DRAIN_S * 2) == 0, stack.log(name)[-2000:]
    took = time.monotonic() - began
    stack.bring_back(name)
    return took


def _problems(use: Use, log: list[dict[str, Any]]) -> list[str]:
    found = broken(log, list(use.expected)) + answered(log, use.expected)
    if use.seen != log:
        found.append("the follower saw something else than the log")
    # What is handed over has no holder; a worker that was told to stop is never found dead.
    found += [
        f"recovered, not handed over: {recovery}"
        for recovery in _recoveries(log)
        if recovery["previous_worker"] is not None
    ]
    return [f"{use.room}: {problem}" for problem in found]


def _recoveries(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event["payload"] for event in log if event["event_type"] == "room:recovered"]
