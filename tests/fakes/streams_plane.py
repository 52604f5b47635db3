"""The gateway's streams on a port, over a real bus and a real log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.routing import Route, Router

from abbotik_contracts import subjects
from abbotik_contracts.room_log import LogEntry
from abbotik_gateway.adapters.authority_dev import TENANT, DevAuthority
from abbotik_gateway.adapters.http_server import HttpServer
from abbotik_gateway.adapters.room_log import MongoRoomLog
from abbotik_gateway.adapters.signals import BusSignals
from abbotik_gateway.adapters.tickets import MongoTickets
from abbotik_gateway.handlers.following.log_events import LogEvents
from abbotik_gateway.handlers.following.open_streams import OpenStreams
from abbotik_gateway.handlers.following.room_streams import RoomStreams
from abbotik_gateway.handlers.seen import SeenRevs
from abbotik_gateway.handlers.ticketing import Ticketing
from abbotik_gateway.routes.events import EventRoutes
from abbotik_gateway.web.edge import Edge
from abbotik_gateway.web.gate import Gate
from abbotik_runtime.bus import Bus
from abbotik_runtime.log_reader import ROOM_LOG, RoomLogReader
from abbotik_runtime.mongo import Database
from abbotik_runtime.serving import listen
from tests.fakes.room_history import RoomHistory, published
from tests.fakes.sse_socket import SseSocket
from tests.fakes.streams import FakeClock, FakeMeters


class NoMeter:
    """Counts nothing."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Pass over a request."""


@dataclass
class Plane:
    """A gateway's streams on a port, and the worker's side of bus and log."""

    port: int
    streams: RoomStreams
    opened: OpenStreams
    meters: FakeMeters
    clock: FakeClock
    ticketing: Ticketing
    bus: Bus
    database: Database

    async def room(self, notes: int = 0) -> RoomHistory:
        """Rent a room in which some events happened."""
        history = RoomHistory(TENANT)
        await self.commit(history.rent(), *history.notes(notes))
        return history

    async def commit(self, *entries: LogEntry) -> None:
        """Append entries to the log."""
        await self.database[ROOM_LOG].insert_many([dict(entry) for entry in entries])

    async def publish(self, history: RoomHistory, *entries: LogEntry) -> None:
        """Publish entries, each as its commit is published."""
        subject = subjects.room_events(TENANT, history.room)
        for entry in entries:
            await self.bus.publish(subject, published(entry))

    async def happen(self, history: RoomHistory, *entries: LogEntry) -> None:
        """Commit entries and publish them."""
        await self.commit(*entries)
        await self.publish(history, *entries)

    async def follow(
        self, history: RoomHistory, query: str = "", *, header: str = "", buffer: int = 0
    ) -> SseSocket:
        """Follow a room."""
        path = f"/llm/room/{history.room}/events{query}"
        return await SseSocket.open(self.port, path, header=header, buffer=buffer)


@asynccontextmanager
async def plane_on(bus: Bus, database: Database) -> AsyncIterator[Plane]:
    """Serve streams on a port."""
    meters, clock = FakeMeters(), FakeClock()
    tickets = MongoTickets(database)
    log = LogEvents(MongoRoomLog(RoomLogReader(database)), SeenRevs())
    opened = OpenStreams(meters, tickets, clock)
    streams = RoomStreams(log, BusSignals(bus), opened)
    ticketing = Ticketing(tickets, log, clock)
    gate = Gate([DevAuthority("user-token", "root-token")], clock)
    events = EventRoutes(streams, gate, ticketing)
    router = Router(
        [
            Route("/llm/room/{room_id}/events", events.follow, methods=["GET"]),
            Route("/llm/events", events.follow_several, methods=["GET"]),
        ]
    )
    listener = listen("127.0.0.1", 0)
    server = HttpServer(Edge(router, NoMeter(), lambda _path: ["GET"]), listener)
    streams.start()
    server.start()
    port: int = listener.getsockname()[1]
    yield Plane(port, streams, opened, meters, clock, ticketing, bus, database)
    await streams.close("shutdown")
    await server.stop()
    assert len(opened) == 0
    assert meters.open == 0
    assert streams.followed == 0
