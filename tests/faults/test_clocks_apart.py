"""Two workers whose clocks are two minutes apart: the database's time is everybody's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from abbotik_room_worker.domain.ticks import ESCALATION_MS
from tests.acceptance.occurrences import check_occurrences
from tests.acceptance.room_client import Record, RoomClient
from tests.faults.checker import violations
from tests.faults.history import Fault, Outage
from tests.faults.load import Load
from tests.faults.stored import Stored
from tests.stack import Stack

SHIFTS_MS = {"room-worker": 60_000, "room-worker-2": -60_000}
# Shorter than the clocks are apart: by either of them each turn would be too late at once, or would
# have a minute too much.
TURN_TIMEOUT_S = 20
SCHEDULED = 6
SCHEDULE = {"every_s": 1, "content": "tick", "overlap": "queue"}
# A turn that comes to no step, so that only its deadline ends it.
DEAF = "!stream 600000 never"
DEADLINE_S = 1.5
# Three seconds until a holder counts as dead, a second between looks, and a busy machine.
SLACK_S = 8.0
SETTLE_S = 30.0


class ClocksApart(Stack):
    """A stack each of whose workers has its own wrong clock."""

    def plan(self, service: str) -> str:
        """Add a process of this service, with its clock shifted."""
        name = super().plan(service)
        if name in SHIFTS_MS:
            program = self._programs[name]
            shift = {"ABBOTIK_CLOCK_SHIFT_MS": str(SHIFTS_MS[name])}
            self._programs[name] = replace(program, env={**program.env, **shift})
        return name

    def buried(self) -> set[str]:
        """Return the sessions that a worker took for dead."""
        lines = [line for name in SHIFTS_MS for line in self.log(name).splitlines()]
        return {json.loads(line)["session"] for line in lines if '"session.buried"' in line}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[ClocksApart]:
    """Yield two workers that disagree about the time."""
    env = {"ABBOTIK_TURN_TIMEOUT_S": str(TURN_TIMEOUT_S)}
    with ClocksApart(tmp_path, room_workers=2, env=env) as running:
        yield running


async def test_clocks_apart_harm_nothing_over_kills(stack: ClocksApart) -> None:
    """Turns, deadlines and schedules go on over each one's death, and only the killed are dead."""
    load = Load({"gateway": stack.url}, stack.token, 0, rooms=12, writers=6)
    outages, began = list[Outage](), time.time()
    with Stored(stack.mongo_url, stack.database) as stored:
        async with load.running(), httpx.AsyncClient(timeout=20) as http:
            client = RoomClient(stack.urls, stack.headers, http)
            body = {"wake_policy": {"schedule": SCHEDULE}}
            rooms = await asyncio.gather(*(client.rent(**body) for _ in range(SCHEDULED)))
            for number, victim in enumerate(SHIFTS_MS, start=1):
                await _wakes(client, rooms, 5 * number - 3)
                deaf = await asyncio.gather(*(_deaf(client) for _ in range(SCHEDULED)))
                await asyncio.gather(*(_ends_at_its_deadline(client, room) for room in deaf))
                session = await asyncio.to_thread(stack.session, victim)
                outages.append(Outage(session, time.time()))
                await asyncio.to_thread(stack.kill, victim)
                await _wakes(client, rooms, 5 * number)
                await asyncio.to_thread(stack.restart, victim)
            fault = Fault("room-worker", "kill", began, time.time())
            await load.wind_down()
            history = await load.history(fault, stored, SETTLE_S)
            logs = [await client.log(room) for room in rooms]
    history.dead_letters = await stack.new_dead_letters()
    history.outages = outages
    assert violations(history) == []
    for log in logs:
        check_occurrences(log)
        assert all(-0.01 <= late < SLACK_S for late in _delays(log)), _delays(log)
    events = [event for log in history.logs for event in log.events]
    assert [e for e in events if e["payload"].get("status") == "failed"] == []
    assert stack.buried() <= {one.session for one in outages}


async def _wakes(client: RoomClient, rooms: list[str], count: int) -> None:
    """Return when every room has had so many occurrences."""
    await asyncio.gather(*(client.follow(room, until="room:wake", count=count) for room in rooms))


async def _deaf(client: RoomClient) -> str:
    """Return a room whose turn nobody can talk to."""
    room = await client.rent()
    await client.post(room, DEAF)
    await client.follow(room, until="actor:turn_start")
    return room


async def _ends_at_its_deadline(client: RoomClient, room: str) -> None:
    """Interrupt the room's turn softly: it ends after the deadline, and not a minute off."""
    asked = time.time()
    body = {"mode": "soft", "deadline_ms": int(DEADLINE_S * 1000)}
    await client.send("POST", f"/llm/room/{room}/interrupt", body)
    end = (await client.follow(room, until="actor:turn_end"))[-1]
    assert end["payload"]["status"] == "interrupted"
    assert DEADLINE_S - 0.1 < _at(end) - asked < DEADLINE_S + ESCALATION_MS / 1000 + SLACK_S


def _delays(log: list[Record]) -> list[float]:
    """Return how long after its time each occurrence came, in seconds."""
    wakes = [event for event in log if event["event_type"] == "room:wake"]
    due = [datetime.fromisoformat(wake["payload"]["scheduled_for"]).timestamp() for wake in wakes]
    return [_at(wake) - at for wake, at in zip(wakes, due, strict=True)]


def _at(event: Record) -> float:
    return datetime.fromisoformat(event["created_at"]).timestamp()
