"""Workers whose clocks are a minute off: times and deadlines are the database's all the same."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.room_client import RoomClient
from tests.stack import Stack

# What a busy machine may add to a second's deadline.
SLACK_S = 6.0


@pytest.mark.parametrize("shift_ms", [-60_000, 60_000])
async def test_wrong_clock_moves_no_deadline(tmp_path: Path, shift_ms: int) -> None:
    """A schedule fires, a room sleeps and an event is dated as if the worker's clock were right."""
    env = {"ABBOTIK_CLOCK_SHIFT_MS": str(shift_ms)}
    with Stack(tmp_path, env=env) as stack:
        async with httpx.AsyncClient(timeout=20) as http:
            client = RoomClient(stack.urls, stack.headers, http)
            began = time.time()
            room = await client.rent(wake_policy={"schedule": {"every_s": 2}})
            log = await client.follow(room, until="room:wake")
            sleeper = await client.rent(wake_policy={"sleep_after_s": 1})
            log += await client.follow(sleeper, until="room:sleeping")
            took = time.time() - began
    assert 2 + 1 <= took < 2 + 1 + 2 * SLACK_S
    for event in log:
        assert began - 1 <= _at(event) <= began + took + 1


def _at(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["created_at"]).timestamp()
