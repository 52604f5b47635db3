"""Messages: the way of every task into a room, and the lists of what was said."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from abbotik_contracts.room_bodies import MessageBody
from abbotik_contracts.room_commands import PostMessage
from abbotik_contracts.room_log import Record
from abbotik_gateway.domain import bodies
from abbotik_gateway.domain.accepts import prefers
from abbotik_gateway.domain.paging import (
    next_link,
    read_limit,
    read_seq,
    read_seq_cursor,
    write_cursor,
)
from abbotik_gateway.domain.prefer import read_wait
from abbotik_gateway.handlers.commanding import Commanding, Order
from abbotik_gateway.handlers.reading import Reading
from abbotik_gateway.routes import heads
from abbotik_gateway.routes.operation import EVENT_STREAM
from abbotik_gateway.streams import Streams
from abbotik_gateway.web.answers import enveloped, page
from abbotik_gateway.web.gate import Gate


@dataclass(frozen=True, slots=True)
class MessageRoutes:
    """The handlers of the message routes. Each raises Problem."""

    gate: Gate
    commanding: Commanding
    reading: Reading
    streams: Streams

    async def post(self, request: Request) -> Response:
        """POST /llm/room/:id/messages: 202, or with a preference 200, or the turn's stream."""
        order = await heads.order(request, self.gate)
        body = bodies.message_body(order.members)
        settled = await self.commanding.run(
            "message", order, lambda ids: PostMessage(**ids, body=body)
        )
        message = _whole(settled.outcome.data, body, order)
        location = f"{heads.base_of(request)}/{order.room}/messages/{message['id']}"
        headers = heads.of_command(settled, location)
        given = request.headers
        if "accept" in given and prefers(given.getlist("accept"), EVENT_STREAM):
            return await self._stream(order, message, settled.outcome.seq, headers)
        wait_s = read_wait(given.getlist("prefer")) if "prefer" in given else None
        if wait_s is None:
            return enveloped(message, 202, headers)
        return await self._wait(order, message, settled.outcome.seq, wait_s, headers)

    async def _stream(
        self, order: Order, message: Record, seq: int, headers: dict[str, str]
    ) -> Response:
        response = await self.streams.turn_stream(
            order.caller, order.room or "", str(message["id"]), seq - 1, message
        )
        response.headers.update(headers)
        return response

    async def _wait(
        self, order: Order, message: Record, seq: int, wait_s: int, headers: dict[str, str]
    ) -> Response:
        room, message_id = order.room or "", str(message["id"])
        headers["Preference-Applied"] = f"wait={wait_s}"
        end = await self.streams.turn_end(order.caller, room, message_id, seq - 1, wait_s)
        if end is None:
            return enveloped(message, 202, headers)
        tenant = order.caller.tenant
        now = await self.reading.message(tenant, room, message_id)
        outputs = [await self.reading.message(tenant, room, one) for one in end.output_ids]
        turn: Record = {"id": end.turn_id, "status": end.status}
        return enveloped({**now, "turn": turn, "outputs": [*outputs]}, 200, headers)

    async def list_messages(self, request: Request) -> Response:
        """GET /llm/room/:id/messages."""
        caller = await self.gate.caller_of(request, "read")
        room: str = request.path_params["room_id"]
        query = request.query_params
        limit, after, kind = read_limit(query), read_seq(query, "after_seq"), f"messages:{room}"
        if "cursor" in query:
            after = read_seq_cursor(kind, query["cursor"])
        rows = await self.reading.messages(caller.tenant, room, after or 0, limit)
        cursor = write_cursor(kind, [rows.last]) if rows.more else None
        link = next_link(request.scope["path"], query, cursor) if cursor else None
        return page(rows.records, next_cursor=cursor, link=link)

    async def read_message(self, request: Request) -> Response:
        """GET /llm/room/:id/messages/:message_id."""
        caller = await self.gate.caller_of(request, "read")
        ids = request.path_params
        return enveloped(
            await self.reading.message(caller.tenant, ids["room_id"], ids["message_id"])
        )


def _whole(message: Record, body: MessageBody, order: Order) -> Record:
    """Return the message with its content, which a worker leaves out where it is large."""
    content = order.members["content"]
    if isinstance(body.content, str):
        return {**message, "content": content}
    return {**message, "content": content, "content_blocks": content}
