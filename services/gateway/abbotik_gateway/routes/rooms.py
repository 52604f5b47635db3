"""Rooms: list, rent, read, change, wake, interrupt, release, history."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from abbotik_contracts.room_commands import (
    InterruptRoom,
    PatchRoom,
    ReleaseRoom,
    RentRoom,
    WakeRoom,
)
from abbotik_gateway.domain import bodies
from abbotik_gateway.domain.etag import NO_VERSION, read_if_match
from abbotik_gateway.domain.paging import next_link, read_limit, read_seq
from abbotik_gateway.handlers.commanding import Commanding, Order, Settled
from abbotik_gateway.handlers.history import History, HistoryQuery
from abbotik_gateway.handlers.listing import Listing
from abbotik_gateway.handlers.reading import Reading
from abbotik_gateway.routes import heads
from abbotik_gateway.web.answers import enveloped, page
from abbotik_gateway.web.body import PATCH_TYPES
from abbotik_gateway.web.gate import Gate


@dataclass(frozen=True, slots=True)
class RoomRoutes:
    """The handlers of the room routes. Each raises Problem, and answers with the envelope."""

    gate: Gate
    commanding: Commanding
    reading: Reading
    listing: Listing
    histories: History

    async def list_rooms(self, request: Request) -> Response:
        """GET /llm/room."""
        caller = await self.gate.caller_of(request, "read")
        query = request.query_params
        listed = await self.listing.page(
            caller.tenant,
            status=query.get("status"),
            name=query.get("name"),
            cursor=query.get("cursor"),
            limit=read_limit(query),
        )
        link = None
        if listed.next_cursor is not None:
            link = next_link(request.scope["path"], query, listed.next_cursor)
        return page(listed.rooms, next_cursor=listed.next_cursor, link=link)

    async def rent(self, request: Request) -> Response:
        """POST /llm/room."""
        order = await heads.order(request, self.gate)
        body = bodies.rent_body(order.members)
        settled = await self.commanding.run("rent", order, lambda ids: RentRoom(**ids, body=body))
        room = settled.outcome.data
        headers = heads.of_command(settled, f"{heads.base_of(request)}/{room['id']}")
        return enveloped(room, 201, heads.with_etag(headers, room))

    async def read(self, request: Request) -> Response:
        """GET /llm/room/:id."""
        caller = await self.gate.caller_of(request, "read")
        room = await self.reading.room(caller.tenant, request.path_params["room_id"])
        return enveloped(room, headers=heads.with_etag({}, room))

    async def change(self, request: Request) -> Response:
        """PATCH /llm/room/:id."""
        order = await heads.order(request, self.gate, PATCH_TYPES)
        wanted = read_if_match(request.headers.getlist("if-match"))
        change = bodies.patch_change(order.members, await self._version(order, wanted))
        settled = await self.commanding.run(
            "patch", order, lambda ids: PatchRoom(**ids, body=change)
        )
        return _room(settled)

    async def _version(self, order: Order, wanted: list[int] | None) -> int | None:
        """Return the one version that the command may ask for."""
        if wanted is None:
            return None
        if len(wanted) == 1:
            return wanted[0]
        room = await self.reading.room(order.caller.tenant, order.room or "")
        version = room["policy_version"]
        return version if isinstance(version, int) and version in wanted else NO_VERSION

    async def wake(self, request: Request) -> Response:
        """POST /llm/room/:id/wake."""
        order = await heads.order(request, self.gate)
        body = bodies.wake_body(order.members)
        return _room(
            await self.commanding.run("wake", order, lambda ids: WakeRoom(**ids, body=body))
        )

    async def interrupt(self, request: Request) -> Response:
        """POST /llm/room/:id/interrupt."""
        order = await heads.order(request, self.gate)
        body = bodies.interrupt_body(order.members)
        settled = await self.commanding.run(
            "interrupt", order, lambda ids: InterruptRoom(**ids, body=body)
        )
        turn = settled.outcome.data
        location = f"{heads.base_of(request)}/{order.room}/turns/{turn.get('turn_id')}"
        return enveloped(turn, 202, heads.of_command(settled, location))

    async def release(self, request: Request) -> Response:
        """POST /llm/room/:id/release."""
        order = await heads.order(request, self.gate)
        body = bodies.release_body(order.members)
        return _room(
            await self.commanding.run("release", order, lambda ids: ReleaseRoom(**ids, body=body))
        )

    async def history(self, request: Request) -> Response:
        """GET /llm/room/:id/history."""
        caller = await self.gate.caller_of(request, "read")
        query = request.query_params
        asked = HistoryQuery(
            limit=read_limit(query),
            before_message=read_seq(query, "before_message_seq"),
            after_message=read_seq(query, "after_message_seq"),
            before_event=read_seq(query, "before_event_seq"),
            after_event=read_seq(query, "after_event_seq"),
        )
        room_id: str = request.path_params["room_id"]
        return enveloped(await self.histories.of(caller.tenant, room_id, asked))


def _room(settled: Settled) -> Response:
    room = settled.outcome.data
    return enveloped(room, headers=heads.with_etag(heads.of_command(settled), room))
