"""Refusals stay refusals, also when a worker dies between its answer and its ack."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.acceptance.room_client import Record, RoomClient
from tests.bus import newest, overheard, publish, waiting
from tests.eventually import eventually
from tests.stack import Stack


async def test_what_was_refused_is_refused_when_it_comes_again(tmp_path: Path) -> None:
    """A message for a busy room and an interrupt without a turn do nothing later either.

    Neither when they come again at once, nor when the room is idle.
    """
    with Stack(tmp_path) as stack:
        async with httpx.AsyncClient(timeout=20) as http:
            client = RoomClient(stack.urls, stack.headers, http)
            room = await client.rent()
            refused = await _command(stack, http, room, "interrupt", {})
            assert (refused.status_code, _code(refused)) == (409, "ROOM_NOT_RUNNING")
            await client.post(room, "!wait 2000\n!say first")
            late = {"content": "!say late", "delivery": "reject"}
            async with overheard(stack.nats_url, f"cmd.room.*.{room}.message") as sent:
                refused = await _command(stack, http, room, "messages", late)
                await eventually(lambda: sent)
            assert (refused.status_code, _code(refused)) == (409, "ROOM_BUSY")
            # A command is acknowledged half a second after its answer, with its projection.
            stack.kill("room-worker")
            unsettled = await newest(stack.nats_url, "COMMANDS", f"cmd.room.*.{room}.message")
            stack.spawn(["room-worker"])
            await client.follow(room, until="actor:turn_end")

            async def settled() -> bool:
                return await waiting(stack.nats_url, "COMMANDS") == 0

            await eventually(settled, within_s=20)
            assert (await client.get(f"/llm/room/{room}"))["status"] == "idle"
            await publish(stack.nats_url, *sent[0])
            await eventually(settled, within_s=20)
            await client.post(room, "!say second")
            await client.follow(room, until="actor:turn_end", count=2)
            log = await client.log(room)
    assert [e["payload"]["status"] for e in log if e["event_type"] == "actor:turn_end"] == [
        "completed",
        "completed",
    ]
    assert _texts(log) == ["first", "second"]
    assert unsettled[1] == sent[0][1], "it was acknowledged before its worker died"


async def _command(
    stack: Stack, http: httpx.AsyncClient, room: str, verb: str, body: Record
) -> httpx.Response:
    url = f"{stack.url}/llm/room/{room}/{verb}"
    return await http.post(url, json=body, headers=stack.headers)


def _code(answer: httpx.Response) -> str:
    return str(answer.json()["error_code"])


def _texts(log: list[Record]) -> list[str]:
    return [e["payload"]["text"] for e in log if e["event_type"] == "actor:output"]
