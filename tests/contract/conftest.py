"""Each port twice: the fake in memory, and the adapter on a real server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from abbotik_kernel.clock import CorrectedClock, SystemClock
from abbotik_room_worker.adapters import sessions as real_sessions
from abbotik_room_worker.adapters.exceptions import MongoExceptions
from abbotik_room_worker.adapters.projections import MongoProjections
from abbotik_room_worker.adapters.room_log import MongoContents, MongoRoomLog
from abbotik_room_worker.adapters.sessions import MongoSessions
from abbotik_room_worker.adapters.sweeps import MongoSweeps
from abbotik_room_worker.ports import Contents, Exceptions, Projections, RoomLog, Sessions, Sweeps
from abbotik_room_worker.progress import Progress
from abbotik_runtime import mongo
from tests.fakes.room_worker.clock import ManualClock
from tests.fakes.room_worker.exceptions import FakeExceptions
from tests.fakes.room_worker.projections import FakeProjections
from tests.fakes.room_worker.room_log import FakeContents, FakeRoomLog
from tests.fakes.room_worker.sessions import EXPIRY_MS, FakeSessions
from tests.fakes.room_worker.store import MemoryStore
from tests.fakes.room_worker.sweeps import FakeSweeps

_SHORT_EXPIRY_S = 0.3


@dataclass(frozen=True)
class Stores:
    """What one database gives: logs and sessions by worker, and what all workers share.

    ``time_passes`` lets some time pass on the clock of the sessions, which each time is a small
    part of their expiry or all of it.
    """

    log: Callable[[str], RoomLog]
    contents: Contents
    exceptions: Callable[[], Exceptions]
    projections: Projections
    sweeps: Sweeps
    session: Callable[[str], Worker]
    a_while: Callable[[], None]


@dataclass(frozen=True)
class Worker:
    """A session and how far its worker has come."""

    sessions: FakeSessions | MongoSessions
    progress: Progress = field(default_factory=Progress)

    @property
    def port(self) -> Sessions:
        """Return what handlers see of it."""
        return self.sessions


@pytest.fixture(params=["memory", "mongodb"])
async def stores(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, database: mongo.Database
) -> Stores:
    """Return the fakes, then the adapters, which are made on the test's loop."""
    if request.param == "memory":
        return _memory()
    monkeypatch.setattr(real_sessions, "EXPIRY_S", _SHORT_EXPIRY_S)
    return _mongodb(database)


def _memory() -> Stores:
    store, clock = MemoryStore(), ManualClock()

    def session(name: str) -> Worker:
        progress = Progress()
        return Worker(FakeSessions(store, name, progress, clock), progress)

    return Stores(
        log=lambda name: FakeRoomLog(store, name),
        contents=FakeContents(store),
        exceptions=lambda: FakeExceptions(store),
        projections=FakeProjections(store),
        sweeps=FakeSweeps(store),
        session=session,
        a_while=lambda: clock.advance(EXPIRY_MS // 10),
    )


def _mongodb(database: mongo.Database) -> Stores:
    def session(name: str) -> Worker:
        progress = Progress()
        return Worker(
            MongoSessions(database, name, progress, CorrectedClock(SystemClock())), progress
        )

    return Stores(
        log=lambda name: MongoRoomLog(database, name),
        contents=MongoContents(database),
        exceptions=lambda: MongoExceptions(database),
        projections=MongoProjections(database),
        sweeps=MongoSweeps(database),
        session=session,
        a_while=lambda: None,
    )
