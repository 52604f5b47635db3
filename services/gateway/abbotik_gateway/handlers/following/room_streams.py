"""Streams of rooms: from a request, or an accepted message, to what answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from abbotik_contracts.room_log import Record
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.follow_query import (
    ahead,
    is_room_id,
    no_room,
    of_several,
    read_flag,
    read_follow,
    read_rooms,
    read_variant,
    wants_page,
)
from abbotik_gateway.domain.sse import Variant
from abbotik_gateway.domain.turn_selection import TurnEnd, TurnSelection
from abbotik_gateway.handlers.following.event_page import event_page, read_after
from abbotik_gateway.handlers.following.event_stream import EventStream
from abbotik_gateway.handlers.following.feeds import BoundedReads, RoomFeeds
from abbotik_gateway.handlers.following.leg import Place
from abbotik_gateway.handlers.following.open_streams import OpenStreams
from abbotik_gateway.handlers.following.stream_leg import StreamLeg
from abbotik_gateway.handlers.following.turn_leg import TurnLeg, TurnWatch
from abbotik_gateway.streams import Head, RoomEvents, Signals
from abbotik_runtime.loops import Loop

TICK_S = 1.0
# A log that was just failed over may show less than a client saw; then it is asked again.
_AHEAD_AGAIN_S = (0.1, 0.3, 0.6)
# One request must not take all of the process's connections to MongoDB.
_HEADS_AT_ONCE = 10
_NO_STORE = {"Cache-Control": "no-store"}


class RoomStreams:
    """Implements `Streams`. Call `start` in the loop that serves, `close` when it drains."""

    def __init__(self, log: RoomEvents, signals: Signals, opened: OpenStreams) -> None:
        self._log = BoundedReads(log)
        self._feeds = RoomFeeds(self._log, signals)
        self._opened = opened
        self._watches: set[TurnWatch] = set()
        self._timer = Loop("streams", TICK_S, self.tick, jitter=0)
        signals.on_reconnect(self._feeds.reconnected)

    @property
    def followed(self) -> int:
        """How many rooms have a feed."""
        return len(self._feeds)

    def start(self) -> None:
        """Start the timer."""
        self._timer.start()

    async def close(self, reason: str) -> None:
        """End every stream with `stream:closing{reason}`, and every wait for a turn."""
        for watch in self._watches:
            watch.give_up()
        await self._opened.close(reason)
        await self._timer.stop()
        await self._feeds.settle()

    async def tick(self) -> None:
        """Do what is due now; the timer calls it every second."""
        self._feeds.look(asyncio.get_running_loop().time())
        await self._opened.tick()

    async def follow(
        self, request: Request, caller: Caller, room_id: str, ticket: str | None = None
    ) -> Response:
        """Answer GET …/events of one room with a stream, a page, or 204."""
        caller.needs("read")
        query = request.query_params
        if wants_page(query):
            after = read_after(query, request.headers.get("last-event-id"))
            await self._place(caller, room_id, after)
            path = request.url.path
            return await event_page(self._log, caller.tenant, room_id, query, path, after)
        wanted = read_follow(query, request.headers.get("last-event-id"))
        place = await self._place(caller, room_id, wanted.after, stay=wanted.stay)
        return self._stream(caller, [place], wanted.variant, ticket)

    async def follow_several(self, request: Request, caller: Caller) -> Response:
        """Answer GET /llm/events?rooms=… with a stream, or with 204."""
        caller.needs("read")
        query = request.query_params
        wanted = read_rooms(query, request.headers.get("last-event-id"))
        stay, variant = read_flag(query, "follow", default=True), of_several(read_variant(query))
        gate = asyncio.Semaphore(_HEADS_AT_ONCE)

        async def place(room: str, after: int) -> Place:
            async with gate:
                return await self._place(caller, room, after, stay=stay)

        places = await asyncio.gather(*(place(*one) for one in wanted.items()))
        return self._stream(caller, places, variant)

    async def turn_stream(
        self, caller: Caller, room_id: str, message_id: str, after_seq: int, accepted: Record
    ) -> Response:
        """Return the stream of one message's turn."""
        place = _accepted(caller, room_id, after_seq)
        stream = EventStream(self._opened, Variant(), expires_at=caller.token_expires_at)
        selection = TurnSelection(message_id)
        stream.legs = [TurnLeg(place, self._log, self._feeds, stream.outbox, selection)]
        stream.headers["Location"] = f"/llm/room/{room_id}/messages/{accepted['id']}"
        return stream

    async def turn_end(
        self, caller: Caller, room_id: str, message_id: str, after_seq: int, timeout_s: float
    ) -> TurnEnd | None:
        """Return how the message's turn ended, None if it has not within ``timeout_s`` seconds."""
        selection = TurnSelection(message_id)
        place = _accepted(caller, room_id, after_seq)
        watch = TurnWatch(place, self._log, self._feeds, selection)
        self._watches.add(watch)
        try:
            async with asyncio.timeout(timeout_s):
                await watch.open()
                while watch.behind:
                    await watch.advance()
                await watch.over
        except TimeoutError:
            return None
        finally:
            self._watches.discard(watch)
            watch.close()
        return selection.end

    def _stream(
        self,
        caller: Caller,
        places: Sequence[Place],
        variant: Variant,
        ticket: str | None = None,
    ) -> Response:
        # The heads are majority reads: nothing can follow what they show as released.
        if all(place.complete for place in places):
            return Response(status_code=204, headers=_NO_STORE)
        stream = EventStream(
            self._opened, variant, expires_at=caller.token_expires_at, ticket=ticket
        )
        stream.legs = [StreamLeg(place, self._log, self._feeds, stream) for place in places]
        return stream

    async def _place(self, caller: Caller, room: str, after: int, *, stay: bool = True) -> Place:
        """Return where a follower begins; CURSOR_AHEAD where the log has not got there."""
        feed = self._feeds.of(caller.tenant, room)
        if feed is not None and not feed.tail.released and after <= feed.tail.seq:
            return Place(caller.tenant, room, after, feed.head(), stay)
        head = await self._head(caller, room)
        for pause in _AHEAD_AGAIN_S:
            if after <= head.seq:
                break
            await asyncio.sleep(pause)
            head = await self._head(caller, room)
        if after > head.seq:
            raise ahead(after, head.seq)
        return Place(caller.tenant, room, after, head, stay)

    async def _head(self, caller: Caller, room: str) -> Head:
        head = await self._log.head(caller.tenant, room) if is_room_id(room) else None
        if head is None:
            raise no_room()
        return head


def _accepted(caller: Caller, room: str, after: int) -> Place:
    # Nothing is read first: the message was accepted, and a read that fails must not take that
    # back. The log is at least where the message is; the feed reads what it holds from there on.
    after = max(0, after)
    return Place(caller.tenant, room, after, Head(after, 0, released=False, turn_id=None))
