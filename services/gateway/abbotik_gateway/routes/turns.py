"""Turns: what the actors did with a room's messages."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from abbotik_gateway.domain.paging import next_link, read_limit, read_seq_cursor, write_cursor
from abbotik_gateway.handlers.reading import Reading
from abbotik_gateway.web.answers import enveloped, page
from abbotik_gateway.web.gate import Gate


@dataclass(frozen=True, slots=True)
class TurnRoutes:
    """The handlers of the turn routes. Each raises Problem."""

    gate: Gate
    reading: Reading

    async def list_turns(self, request: Request) -> Response:
        """GET /llm/room/:id/turns."""
        caller = await self.gate.caller_of(request, "read")
        room: str = request.path_params["room_id"]
        query = request.query_params
        limit, kind = read_limit(query), f"turns:{room}"
        after = read_seq_cursor(kind, query["cursor"]) if "cursor" in query else 0
        rows = await self.reading.turns(caller.tenant, room, after, limit)
        cursor = write_cursor(kind, [rows.last]) if rows.more else None
        link = next_link(request.scope["path"], query, cursor) if cursor else None
        return page(rows.records, next_cursor=cursor, link=link)

    async def read_turn(self, request: Request) -> Response:
        """GET /llm/room/:id/turns/:turn_id."""
        caller = await self.gate.caller_of(request, "read")
        ids = request.path_params
        return enveloped(await self.reading.turn(caller.tenant, ids["room_id"], ids["turn_id"]))
