"""The response that streams: one task, which reads what is behind and sends what queued up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from abbotik_gateway.domain.sse import HEARTBEAT, OPENING, Variant, notice
from abbotik_gateway.handlers.following.leg import Leg
from abbotik_gateway.handlers.following.outbox import Chunk, Outbox
from abbotik_gateway.streams import ABORT, WRITE

log = structlog.get_logger(__name__)

HEARTBEAT_S = 15.0
STALL_S = 10.0

_HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
}


class Register(Protocol):
    """Knows which streams are open. Both are called in the loop's thread."""

    def opened(self, stream: EventStream) -> None:
        """Note a stream that begins."""
        ...

    def closed(self, stream: EventStream) -> None:
        """Note a stream that ended, however it did."""
        ...


class EventStream(Response):
    """Streams the frames of its legs until the outbox is finished or the reader has gone.

    Raw ASGI. A feed sends to a reader that keeps up by itself (`send_now`); the request's own task
    replays, sends what had to queue, and ends the response. Legs are added before it is called.
    ``expires_at`` is in ms since 1970; ``ticket`` is the digest of the one that opened it.
    """

    def __init__(
        self,
        register: Register,
        variant: Variant,
        *,
        expires_at: int | None = None,
        ticket: str | None = None,
    ) -> None:
        # Response.__init__ would add a Content-Length.
        self.status_code = 200
        self.background = None
        self.init_headers(_HEADERS)
        self.variant = variant
        self.ticket = ticket
        self.legs: list[Leg] = []
        self.outbox = Outbox(self._lagged)
        self._register = register
        self._expires_at = expires_at
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        # Until the first bytes are out, nobody else may send.
        self._sending = True
        self._send: Send = _unsent
        self._write: Callable[[bytes], bool] = _not_now
        self._abort: Callable[[], object] | None = None
        self._task: asyncio.Task[object] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the legs and stream; refusals are raised while nothing was sent yet."""
        extensions = scope.get("extensions", {})
        self._abort = extensions.get(ABORT)
        self._write = extensions.get(WRITE, _not_now)
        self._task = asyncio.current_task()
        self._register.opened(self)
        watch: asyncio.Task[None] | None = None
        try:
            for leg in self.legs:
                await leg.open()
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            self._send = send
            watch = asyncio.create_task(self._watch(receive))
            await self._stream()
        finally:
            if watch is not None:
                watch.cancel()
            for leg in self.legs:
                leg.close()
            self._register.closed(self)
            self._let_go()

    def leg_ended(self, leg: Leg) -> None:
        """Note that a room has nothing more; the stream ends with its last one."""
        last = b""
        if leg.released:
            room = {"room_id": leg.room} if self.variant.prefixed else {}
            last = notice(self.variant, "stream:end", **room, last_seq=leg.position)
        if all(one.ended for one in self.legs):
            self.outbox.finish(last)
        elif last:
            self.outbox.put_page(Chunk(last, 0, leg, leg.position))

    def send_now(self, data: bytes) -> bool:
        """Send at once if nothing stands in front; says no, and does nothing, if something does."""
        if self._sending or not self.outbox.empty or self.outbox.finished:
            return False
        if not data:
            return True
        try:
            sent = self._write(data)
        except Exception:
            # The feed calls this for one follower after the other: none may stop the rest.
            log.exception("stream.broken")
            self.cut()
            return True
        if sent:
            self._sent_at = self._loop.time()
        return sent

    def end(self, name: str, reason: str) -> None:
        """Have the stream end after what is queued, with a notice that says why."""
        self.outbox.finish(notice(self.variant, name, reason=reason))

    def tick(self, now: float, now_ms: int) -> None:
        """Do what is due: cut a stalled reader, end with the token, keep the line alive.

        ``now`` is the loop's time in seconds, ``now_ms`` the clock's.
        """
        quiet = now - self._sent_at
        if self._sending:
            if quiet >= STALL_S:
                self.cut()
        elif self._expires_at is not None and now_ms >= self._expires_at:
            self.end("stream:closing", "token_expired")
        elif quiet >= HEARTBEAT_S and self.outbox.empty:
            self.outbox.put(Chunk(HEARTBEAT, 0))

    def cut(self) -> None:
        """Drop the connection: the reader does not take what it was sent."""
        self.outbox.abandon()
        if self._abort is not None:
            self._abort()
        elif self._task is not None:
            self._task.cancel()

    def _let_go(self) -> None:
        """Drop what refers back here, so that the stream is freed now and not by the collector."""
        self.outbox.abandon()
        self.legs.clear()
        self._send = _unsent
        self._write = _not_now
        self._abort = self._task = None

    def _lagged(self, taken: dict[object, int]) -> bytes:
        positions = {leg.room: taken.get(leg, leg.position) for leg in self.legs}
        if self.variant.prefixed:
            return notice(self.variant, "stream:lagged", positions=dict(positions))
        return notice(self.variant, "stream:lagged", last_seq=min(positions.values()))

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.outbox.abandon()

    async def _stream(self) -> None:
        outbox = self.outbox
        behind = deque(leg for leg in self.legs if leg.behind)
        await self._send_out(OPENING, more=True)
        while not outbox.gone:
            if behind and outbox.empty and not outbox.finished:
                leg = behind.popleft()
                await leg.advance()
                if leg.behind:
                    behind.append(leg)
            else:
                await outbox.wait()
            if not outbox.empty and await self._send_next():
                return

    async def _send_next(self) -> bool:
        """Send some of what queued up, and say whether it was the last."""
        # The frame of the task would keep the bytes for as long as it waits; this one ends.
        body = self.outbox.take()
        last = self.outbox.finished and self.outbox.empty
        await self._send_out(body, more=not last)
        return last

    async def _send_out(self, body: bytes, *, more: bool) -> None:
        self._sent_at = self._loop.time()
        self._sending = True
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        self._sending = False


def _not_now(_data: bytes) -> bool:
    return False


async def _unsent(_message: Message) -> None:
    raise RuntimeError("the stream has not begun")
