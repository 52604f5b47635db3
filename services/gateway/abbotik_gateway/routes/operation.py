"""One operation of the API: its handler, and everything that `/openapi.json` says about it.

Handlers take the request as it is: FastAPI's parameter and body machinery costs more than all the
rest of a message's way through the gateway, so what it would derive is written here by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

EVENT_STREAM = "text/event-stream"
# Whatever is away, a read ends within 5 s, however many queries it takes.
READ_S = 4.8

Endpoint = Callable[[Request], Awaitable[Response]]

ROOM_FAMILIES = ("/llm/room", "/api/rooms")
DISCOVERY_FAMILIES = ("/llm", "/api")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a good answer carries: a component's name, in what form, under which media type."""

    text: str
    schema: str | None = None
    form: str = "record"
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query or a header, with its JSON Schema."""

    name: str
    text: str
    schema: dict[str, Any]
    place: str = "query"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, on each of its ``paths``.

    ``needs`` is the access word, None for a public route; ``codes`` are the error codes beyond
    those that every route of its kind may answer; ``body`` names a component.
    """

    name: str
    method: str
    paths: tuple[str, ...]
    endpoint: Endpoint
    summary: str
    answers: dict[int, Shown]
    tag: str
    needs: str | None = "read"
    body: str | None = None
    parameters: tuple[Parameter, ...] = ()
    codes: tuple[str, ...] = ()
    text: str = ""
    body_types: tuple[str, ...] = field(default=("application/json",))

    @property
    def reads(self) -> bool:
        """Whether it reads what is stored and answers at once, which a stream does not."""
        streams = any(shown.media_type == EVENT_STREAM for shown in self.answers.values())
        return self.method == "GET" and self.needs is not None and not streams


def room_paths(rest: str = "") -> tuple[str, ...]:
    """Return the path of a room route in both families."""
    return tuple(f"{family}{rest}" for family in ROOM_FAMILIES)


def discovery_paths(rest: str) -> tuple[str, ...]:
    """Return the path of a discovery route in both families."""
    return tuple(f"{family}{rest}" for family in DISCOVERY_FAMILIES)


class PlainRoute(APIRoute):
    """A route that calls its handler with the request, and nothing between."""

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:  # noqa: ANN401  FastAPI's own
        super().__init__(path, endpoint, **options)
        self.app = _plain(endpoint)


def within(endpoint: Endpoint, limit_s: float) -> Endpoint:
    """Return the handler with a limit; TimeoutError past it."""

    async def limited(request: Request) -> Response:
        async with asyncio.timeout(limit_s):
            return await endpoint(request)

    return limited


def _plain(endpoint: Endpoint) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
