"""The gateway's whole API over the plane in memory, called without a socket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from abbotik_gateway.adapters.authority_dev import DevAuthority
from abbotik_gateway.api import Ports, build_api
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.pressure import Limits, Readings, refusal
from abbotik_gateway.domain.problem import Problem
from abbotik_gateway.handlers.following.log_events import LogEvents
from abbotik_gateway.handlers.following.open_streams import OpenStreams
from abbotik_gateway.handlers.following.room_streams import RoomStreams
from abbotik_gateway.handlers.seen import SeenRevs
from abbotik_gateway.handlers.ticketing import Ticketing
from abbotik_gateway.ports import Authority, Commands
from abbotik_runtime.health import Health
from abbotik_runtime.metrics import Metrics
from tests.fakes.plane import FakeKeyStore, Plane
from tests.fakes.streams import FakeClock, FakeMeters, FakeSignals, FakeTickets

DOCS = Path(__file__).resolve().parents[2] / "docs"
USER_TOKEN, ROOT_TOKEN = "user-token", "root-token"
USER = {"Authorization": f"Bearer {USER_TOKEN}"}


class FakeAuthority:
    """Knows the callers that a test gives it; ``away`` makes it unable to tell."""

    def __init__(self) -> None:
        self.callers: dict[str, Caller] = {}
        self.away = False

    async def identify(self, token: str) -> Caller | None:
        """Return the token's caller."""
        if self.away:
            raise Problem("AUTH_UNAVAILABLE")
        return self.callers.get(token)

    def add(self, token: str, **members: Any) -> dict[str, str]:
        """Make a caller, of tenant `dev` with `edit` access unless told; return its header."""
        given: dict[str, Any] = {
            "user_id": token,
            "username": token,
            "tenant": "dev",
            "tenant_name": "dev",
            "access": "edit",
            "auth_type": "fake",
            "is_root": False,
            "token_expires_at": None,
        }
        self.callers[token] = Caller(**{**given, **members})
        return {"Authorization": f"Bearer {token}"}


class FakeMeter:
    """Remembers what was counted: (method, route, status)."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, str, int]] = []

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note one request."""
        assert seconds >= 0
        self.counted.append((method, route, status))


class FakePressure:
    """Holds the readings that a test gives it against small limits."""

    def __init__(self) -> None:
        self.readings = Readings()

    def check(self, verb: str) -> None:
        """Raise the Problem of a command that would only wait."""
        problem = refusal(
            verb, self.readings, Limits(commands=10, turns=20, store_s=0.5, projection_s=1)
        )
        if problem is not None:
            raise problem


@dataclass(frozen=True)
class GatewayApi:
    """The application, what stands behind it, and a client of it."""

    app: ASGIApp
    plane: Plane
    signals: FakeSignals
    keys: FakeKeyStore
    clock: FakeClock
    authority: FakeAuthority
    meter: FakeMeter
    streams: RoomStreams
    health: Health
    pressure: FakePressure
    client: httpx.AsyncClient

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request as the dev tenant's user; ``headers`` are added to its own."""
        headers = {**USER, **options.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **options)

    async def rent(self, **body: Any) -> str:
        """Rent a room and return its id."""
        answer = await self.call("POST", "/llm/room", json=body)
        assert answer.status_code == 201, answer.text
        room: str = answer.json()["data"]["id"]
        return room

    async def post(self, room: str, content: Any = "hello", **options: Any) -> httpx.Response:
        """Post a message."""
        body = {"content": content, **options.pop("body", {})}
        return await self.call("POST", f"/llm/room/{room}/messages", json=body, **options)


def gateway_api(commands: Commands | None = None) -> GatewayApi:
    """Make the API; ``commands`` takes the place of the plane's own."""
    clock, signals = FakeClock(), FakeSignals()
    plane, keys = Plane(clock, signals), FakeKeyStore(clock)
    pressure = FakePressure()
    authority, meter, tickets, seen = FakeAuthority(), FakeMeter(), FakeTickets(), SeenRevs()
    events, health = LogEvents(plane, seen), Health("gateway", Metrics("gateway"))
    streams = RoomStreams(events, signals, OpenStreams(FakeMeters(), tickets, clock))
    authorities: list[Authority] = [authority, DevAuthority(USER_TOKEN, ROOT_TOKEN)]
    app = build_api(
        Ports(
            authorities=authorities,
            commands=plane if commands is None else commands,
            pressure=pressure,
            keys=keys,
            log=plane,
            rooms=plane,
            contents=plane,
            seen=seen,
            streams=streams,
            ticketing=Ticketing(tickets, events, clock),
            health=health,
            meter=meter,
            clock=clock,
            docs=DOCS,
        )
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")
    return GatewayApi(
        app, plane, signals, keys, clock, authority, meter, streams, health, pressure, client
    )
