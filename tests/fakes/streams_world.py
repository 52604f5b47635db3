"""The gateway's streams with everything that they stand on, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.requests import Request

from abbotik_contracts import subjects
from abbotik_contracts.room_log import LogEntry
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.handlers.following.log_events import LogEvents
from abbotik_gateway.handlers.following.open_streams import OpenStreams
from abbotik_gateway.handlers.following.room_streams import RoomStreams
from abbotik_gateway.handlers.seen import SeenRevs
from tests.fakes.room_history import TENANT, RoomHistory, delta, published
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


@asynccontextmanager
async def streams_world() -> AsyncIterator[World]:
    """Make streams without their timer: tests tick themselves. Nothing may be left at the end."""
    log, signals, clock, meters = FakeRoomLog(), FakeSignals(), FakeClock(), FakeMeters()
    opened = OpenStreams(meters, FakeTickets(), clock)
    streams = RoomStreams(LogEvents(log, SeenRevs()), signals, opened)
    yield World(streams, log, signals, clock, meters)
    log.away = False
    await streams.close("test")
    assert signals.subscribed == {}
    assert meters.open == 0
