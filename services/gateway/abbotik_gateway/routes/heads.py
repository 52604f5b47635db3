"""What room routes read from a request's head, and what they put into an answer's."""

from __future__ import annotations

import re
from time import monotonic

from starlette.requests import Request

from abbotik_contracts.room_log import Record
from abbotik_gateway.domain import bodies
from abbotik_gateway.domain.etag import etag
from abbotik_gateway.domain.keyed import read_key
from abbotik_gateway.handlers.commanding import Order, Settled
from abbotik_gateway.handlers.reading import known_id
from abbotik_gateway.web.body import JSON_TYPES, read_json
from abbotik_gateway.web.gate import Gate

# A POST answers within 5 s, what the caller waits for on purpose apart.
ANSWER_S = 4.8

_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


async def order(request: Request, gate: Gate, types: tuple[str, ...] = JSON_TYPES) -> Order:
    """Return what a request for a command says before its body is understood.

    Checked in this order: the caller, the room's id, the key, the body's size, type and JSON, the
    tenant that it names.
    """
    began = monotonic()
    caller = await gate.caller_of(request, "edit")
    # The body's receipt has a limit of its own: how long it takes is up to the caller.
    left_s = ANSWER_S - (monotonic() - began)
    room = request.path_params.get("room_id")
    key = read_key(request.headers.getlist("idempotency-key"))
    room = None if room is None else known_id(room, "ROOM_NOT_FOUND")
    members = bodies.of_tenant(await read_json(request, types), caller)
    return Order(
        caller=caller,
        request_id=request.scope["state"]["request_id"],
        members=members,
        until=monotonic() + left_s,
        room=room,
        key=key,
        trace=_trace(request),
    )


def _trace(request: Request) -> str | None:
    given = request.headers.get("traceparent", "")
    return given if _TRACE.fullmatch(given) else None


def base_of(request: Request) -> str:
    """Return the family that was asked: `/llm/room` or `/api/rooms`."""
    path: str = request.scope["path"]
    return "/api/rooms" if path.startswith("/api/") else "/llm/room"


def of_command(settled: Settled, location: str | None = None) -> dict[str, str]:
    """Return the headers of an accepted command's answer."""
    headers = settled.headers
    if location is not None:
        headers["Location"] = location
    return headers


def with_etag(headers: dict[str, str], room: Record) -> dict[str, str]:
    """Add a room's `ETag`."""
    return {**headers, "ETag": etag(room["policy_version"])}
