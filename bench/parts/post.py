"""What the gateway's own code takes for one message: `python -m bench.parts.post`.

From the bytes of a POST to the bytes of its answer. The worker's outcome is there at once.
"""

import asyncio
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from abbotik_contracts.room_commands import RoomCommand
from abbotik_gateway.adapters.bounded_connection import BoundedConnection
from abbotik_gateway.adapters.http_server import config
from abbotik_gateway.domain.outcome import Outcome, read_outcome
from abbotik_runtime import logs
from abbotik_runtime.ids import uuid7
from bench.parts.rounds import cost_us, run, until
from bench.wire import Target
from tests.fakes.gateway_api import USER_TOKEN, gateway_api

POSTS = 2_000
BODY = orjson.dumps({"content": "one small message of a person"})
PATH = "/llm/room/{room_id}/messages"


class Written(asyncio.Transport):
    """A connection whose reader takes everything, and counts how often it reads ``wanted``."""

    def __init__(self, wanted: bytes) -> None:
        super().__init__()
        self.found = 0
        self._wanted = wanted

    def write(self, data: Any) -> None:  # noqa: ANN401  as asyncio has it
        """Count."""
        self.found += data.count(self._wanted)

    def is_closing(self) -> bool:
        """Say that it stands."""
        return False

    def close(self) -> None:
        """End, as the server wants it once nothing has come for a while."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  the same
        """Tell two addresses."""
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)


class Decided:
    """A worker that has decided every message."""

    def __init__(self) -> None:
        record = {"id": uuid7(), "seq": 4, "author": "user", "kind": "task", "status": "queued"}
        self._outcome = orjson.dumps({"ok": True, "data": record, "seq": 7, "rev": 9})

    async def send(self, _command: RoomCommand, _trace: str | None, _deadline_s: float) -> Outcome:
        """Return its outcome, read from the bytes that would have come."""
        return read_outcome(self._outcome)


def bare() -> ASGIApp:
    """Return the least that Starlette can do with a POST."""

    async def post(request: Request) -> Response:
        await request.body()
        return Response(b"{}", 202)

    return Starlette(routes=[Route(PATH, post, methods=["POST"])])


def connection(app: ASGIApp, kind: type[HttpToolsProtocol], written: Written) -> HttpToolsProtocol:
    """Return the server's side of a connection."""
    served_so = config(app, kind)
    served_so.load()
    served = kind(served_so, ServerState(), {}, asyncio.get_running_loop())
    served.connection_made(written)
    return served


async def measure() -> None:
    """Print both."""
    logs.configure("bench", "info", "json")
    request = Target(1, USER_TOKEN).post(PATH.format(room_id=uuid7()), BODY)
    for name, app, kind in (
        ("bare Starlette", bare(), HttpToolsProtocol),
        ("the gateway", gateway_api(commands=Decided()).app, BoundedConnection),
    ):
        written = Written(b"HTTP/1.1 202 ")
        served = connection(app, kind, written)

        async def post(served: HttpToolsProtocol = served, written: Written = written) -> None:
            wanted = written.found + 1
            served.data_received(request)
            await until(lambda: written.found == wanted)

        print(f"{name}: {await cost_us(post, POSTS):.1f} us a POST")


if __name__ == "__main__":
    run(measure())
