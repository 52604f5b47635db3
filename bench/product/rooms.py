"""The room API as the load clients speak it."""

import argparse
import asyncio
import json
import re
from collections.abc import Awaitable
from typing import TypeVar

from bench.wire import Caller, Target

T = TypeVar("T")

TURN_END = b"\nevent: actor:turn_end\n"
ENDED = re.compile(rb'\nevent: actor:turn_end\ndata: [^\n]*?"message_id":\s*"([0-9a-f-]{36})"')
COMPLETED = re.compile(rb'\nevent: actor:turn_end\ndata: [^\n]*?"status":\s*"completed"')
MESSAGE = json.dumps({"kind": "task", "content": "one small message of a person"}).encode()
# Nothing here takes this long unless something was lost.
STALL_S = 15.0


def arguments(description: str | None, count: int) -> argparse.Namespace:
    """Parse `--port`, `--token` and `--count`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--count", type=int, default=count)
    return parser.parse_args()


async def rent(target: Target, count: int = 1) -> list[str]:
    """Rent rooms with the default actor; returns their ids."""
    caller, request = await Caller.connect(target), target.post("/llm/room", b"{}")
    rooms = []
    for _ in range(count):
        answer = json.loads((await caller.send(request)).expect(201))
        rooms.append(str(answer["data"]["id"]))
    caller.close()
    return rooms


def message(target: Target, room: str) -> bytes:
    """Encode the POST of a small message, which the scripted executor echoes."""
    return target.post(f"/llm/room/{room}/messages", MESSAGE)


def events(room: str) -> str:
    """Return the path of a room's event stream."""
    return f"/llm/room/{room}/events"


async def soon(waited: Awaitable[T], what: str) -> T:
    """Wait for a future; RuntimeError that says what did not come within STALL_S."""
    try:
        return await asyncio.wait_for(waited, STALL_S)
    except TimeoutError as late:
        raise RuntimeError(f"no {what} within {STALL_S:.0f} s") from late


async def going_on(work: "asyncio.Future[T]", waits: list[float]) -> T:
    """Wait for work that adds to its `waits`, in seconds; RuntimeError as `soon` raises it.

    One timer for all of it: a timer for each wait is a tenth of what the load client burns.
    """
    before = -1
    try:
        while not work.done() and len(waits) > before:
            before = len(waits)
            await asyncio.wait([work], timeout=STALL_S)
    finally:
        work.cancel()
    if not work.done() or max(waits, default=0.0) > STALL_S:
        raise RuntimeError(f"a wait of more than {STALL_S:.0f} s, after {len(waits)} others")
    return work.result()
