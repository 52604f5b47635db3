"""Work that nobody takes is refused before it is queued, and what was taken is carried out."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from tests.acceptance.promises import broken
from tests.acceptance.room_client import RoomClient
from tests.bus import waiting
from tests.eventually import eventually
from tests.stack import Stack

LIMIT = 5
ROOMS = 8
PER_ROOM = 3


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_queue_that_nobody_empties_stops_growing(tmp_path: Path, how: signal.Signals) -> None:
    """Past the limit a POST is answered at once, with the reason, and adds nothing to the queue.

    It makes no difference whether the commands wait at the server or with a worker that is paused.
    """
    with Stack(tmp_path, env={"ABBOTIK_MAX_COMMANDS_WAITING": str(LIMIT)}) as stack:
        async with httpx.AsyncClient(timeout=20) as http:
            client = RoomClient(stack.urls, stack.headers, http)
            other, *rooms = [await client.rent() for _ in range(1 + ROOMS)]
            stack.kill("room-worker", how)
            posts = [
                asyncio.create_task(client.post(room, f"!say {number}"))
                for number in range(PER_ROOM)
                for room in rooms
            ]
            refused = await eventually(lambda: _refused(stack, http, other), within_s=20)
            assert refused["reason"] == "commands_waiting"
            assert refused["value"] > refused["limit"] == LIMIT
            queued = await waiting(stack.nats_url, "COMMANDS")
            for room in rooms:
                assert await _refused(stack, http, room) is not None
            assert await waiting(stack.nats_url, "COMMANDS") == queued
            if how is signal.SIGKILL:
                stack.spawn(["room-worker"])
            else:
                stack.kill("room-worker", signal.SIGCONT)
            told = [message["id"] for message in await asyncio.gather(*posts)]
            for place, room in enumerate(rooms):
                await client.follow(room, until="actor:turn_end", count=PER_ROOM)
                assert broken(await client.log(room), told[place::ROOMS]) == []
    assert len(set(told)) == ROOMS * PER_ROOM


async def _refused(stack: Stack, http: httpx.AsyncClient, room: str) -> dict[str, object] | None:
    """Post without a key; return the problem of an answer that says why nothing was passed on."""
    answer = await http.post(
        f"{stack.url}/llm/room/{room}/messages", json={"content": "no"}, headers=stack.headers
    )
    problem: dict[str, object] = answer.json()
    if problem.get("error_code") != "SERVICE_UNAVAILABLE":
        return None
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    return problem
