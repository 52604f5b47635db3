"""Event streams: of one room, of several, and the tickets that open them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from abbotik_gateway.domain.problem import invalid
from abbotik_gateway.handlers.ticketing import Ticketing
from abbotik_gateway.streams import Streams
from abbotik_gateway.web.answers import enveloped
from abbotik_gateway.web.body import read_json
from abbotik_gateway.web.gate import Gate


class EventRoutes:
    """The handlers of both families of paths. Each raises Problem."""

    def __init__(self, streams: Streams, gate: Gate, ticketing: Ticketing) -> None:
        self._streams = streams
        self._gate = gate
        self._ticketing = ticketing

    async def follow(self, request: Request) -> Response:
        """GET …/events: with a bearer token, or with `?ticket=` where there is none."""
        room_id: str = request.path_params["room_id"]
        ticket = request.query_params.get("ticket")
        if ticket is not None and "authorization" not in request.headers:
            admitted = await self._ticketing.admit(ticket, room_id)
            return await self._streams.follow(request, admitted.caller, room_id, admitted.digest)
        caller = await self._gate.caller_of(request)
        return await self._streams.follow(request, caller, room_id)

    async def follow_several(self, request: Request) -> Response:
        """GET /llm/events?rooms=a,b."""
        return await self._streams.follow_several(request, await self._gate.caller_of(request))

    async def issue_ticket(self, request: Request) -> Response:
        """POST …/events/ticket: no idempotency key helps, as no ticket is stored to be repeated."""
        caller = await self._gate.caller_of(request)
        body = await read_json(request)
        if body:
            raise invalid(
                [{"pointer": f"/{name}", "message": "is no member of a ticket"} for name in body]
            )
        ticket = await self._ticketing.issue(caller, request.path_params["room_id"])
        path = request.url.path.removesuffix("/ticket")
        location = {"Location": f"{path}?ticket={ticket['ticket']}", "Cache-Control": "no-store"}
        return enveloped(ticket, 201, location)
