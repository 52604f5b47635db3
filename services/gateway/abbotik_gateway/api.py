"""The API as one ASGI application, made of its ports: `app.py` gives real ones, tests fakes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from abbotik_gateway.description.document import TITLE, VERSION, add_operations, document
from abbotik_gateway.handlers.commanding import Commanding
from abbotik_gateway.handlers.history import History
from abbotik_gateway.handlers.listing import Listing
from abbotik_gateway.handlers.reading import Reading
from abbotik_gateway.handlers.seen import SeenRevs
from abbotik_gateway.handlers.ticketing import Ticketing
from abbotik_gateway.ports import (
    Authority,
    Commands,
    Contents,
    KeyStore,
    Pressure,
    RoomList,
    RoomLog,
)
from abbotik_gateway.routes.discovery import DiscoveryRoutes
from abbotik_gateway.routes.event_operations import event_operations
from abbotik_gateway.routes.events import EventRoutes
from abbotik_gateway.routes.message_operations import message_operations, turn_operations
from abbotik_gateway.routes.messages import MessageRoutes
from abbotik_gateway.routes.operation import Operation
from abbotik_gateway.routes.public import PublicRoutes
from abbotik_gateway.routes.room_operations import room_operations
from abbotik_gateway.routes.rooms import RoomRoutes
from abbotik_gateway.routes.turns import TurnRoutes
from abbotik_gateway.streams import Streams
from abbotik_gateway.web.documents import Documents
from abbotik_gateway.web.edge import Edge, Meter
from abbotik_gateway.web.gate import Gate
from abbotik_gateway.web.paths import Paths
from abbotik_kernel.clock import Clock
from abbotik_runtime.health import Health


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that the API needs from outside. ``seen`` is shared with the streams."""

    authorities: list[Authority]
    commands: Commands
    pressure: Pressure
    keys: KeyStore
    log: RoomLog
    rooms: RoomList
    contents: Contents
    seen: SeenRevs
    streams: Streams
    ticketing: Ticketing
    health: Health
    meter: Meter
    clock: Clock
    docs: Path


class RoutedApp(FastAPI):
    """FastAPI for its description and patterns, without its layers: the edge does their work."""

    paths = Paths(())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go straight to the route; the router finds what `paths` does not, and refuses."""
        scope["app"] = self
        found = self.paths.find(scope["method"], scope["path"])
        if found is None:
            await self.router(scope, receive, send)
            return
        scope["route"], scope["path_params"] = found
        await found[0].app(scope, receive, send)

    def allowed(self, path: str) -> list[str]:
        """Return the methods that a path knows, sorted; [] where it is no path of ours."""
        methods: set[str] = set()
        for route in self.router.routes:
            pattern = getattr(route, "path_regex", None)
            if pattern is not None and pattern.match(path):
                methods |= getattr(route, "methods", set())
        return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def build_api(ports: Ports) -> ASGIApp:
    """Return the application."""
    app = _routed(ports)
    return Edge(app, ports.meter, app.allowed)


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document without a running gateway: no route of it is ever called."""
    absent: Any = None
    return document(_routed(Ports(**dict.fromkeys(Ports.__slots__, absent))))


def _routed(ports: Ports) -> RoutedApp:
    app = RoutedApp(
        title=TITLE,
        version=VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_operations(app, _operations(ports, app))
    app.paths = Paths(app.routes)
    return app


def _operations(ports: Ports, app: RoutedApp) -> list[Operation]:
    gate = Gate(ports.authorities, ports.clock)
    commanding = Commanding(ports.commands, ports.keys, ports.seen, ports.pressure)
    reading = Reading(ports.log, ports.contents, ports.seen)
    rooms = RoomRoutes(gate, commanding, reading, Listing(ports.rooms), History(ports.log, reading))
    public = PublicRoutes(Documents(ports.docs), ports.health, lambda: document(app))
    return [
        *message_operations(MessageRoutes(gate, commanding, reading, ports.streams)),
        *event_operations(EventRoutes(ports.streams, gate, ports.ticketing)),
        *room_operations(rooms),
        *turn_operations(TurnRoutes(gate, reading)),
        *DiscoveryRoutes(gate).operations(),
        *public.operations(),
    ]
