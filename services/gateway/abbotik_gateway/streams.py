"""The streams' ports: what the other routes ask of them, and what they ask of the outside.

`Streams` is the seam between the room routes and the event streams. `RoomEvents`, `Signals`,
`Tickets` and `Meters` are driven by the streams and implemented in `adapters`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from abbotik_contracts.room_log import Record
from abbotik_gateway.domain.caller import Caller
from abbotik_gateway.domain.feed import Event
from abbotik_gateway.domain.turn_selection import TurnEnd

# The ASGI extension under which the server puts a callable that drops the connection at once,
# with all that is buffered for it.
ABORT = "abbotik.abort"
# And one that writes a piece of an answer's body, `(bytes) -> bool`; it says no, and writes
# nothing, where the reader does not keep up. Only for a body that is sent in pieces, and between
# two of them.
WRITE = "abbotik.write"


class Streams(Protocol):
    """Everything that follows rooms. Refusals are raised as `Problem`, before any byte is sent."""

    async def follow(
        self, request: Request, caller: Caller, room_id: str, ticket: str | None = None
    ) -> Response:
        """Answer GET …/events of one room: the stream, one page of JSON, or 204.

        ``ticket`` is the digest of the ticket that stood for the caller, if one did.
        """
        ...

    async def follow_several(self, request: Request, caller: Caller) -> Response:
        """Answer GET /llm/events?rooms=…: one stream of several rooms, or 204."""
        ...

    async def turn_stream(
        self, caller: Caller, room_id: str, message_id: str, after_seq: int, accepted: Record
    ) -> Response:
        """Return the stream of one message's turn; headers may be added before it is returned.

        ``after_seq`` is any position before the message's first event (the outcome's seq less
        one); ``accepted`` is the message as accepted.
        """
        ...

    async def turn_end(
        self, caller: Caller, room_id: str, message_id: str, after_seq: int, timeout_s: float
    ) -> TurnEnd | None:
        """Return how the message's turn ended, None if it has not within ``timeout_s`` seconds."""
        ...

    async def close(self, reason: str) -> None:
        """End every stream with `stream:closing{reason}`; none is opened afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """A room by its newest entry: its last seq, and the turn that runs with its epoch."""

    seq: int
    epoch: int
    released: bool
    turn_id: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order without a gap; ``more`` says that the log went on when it was read."""

    events: Sequence[Event]
    more: bool


class RoomEvents(Protocol):
    """The durable events of rooms. Every read is a majority read; UnavailableError if none is."""

    async def head(self, tenant: str, room: str) -> Head | None:
        """Return where the room's log stands, None where the tenant has no such room."""
        ...

    async def page(self, tenant: str, room: str, after: int) -> Page:
        """Return the events that follow position ``after``, as many as one read should hold."""
        ...


class Subscribed(Protocol):
    """One subscription."""

    async def cancel(self) -> None:
        """Give it up; nothing is delivered afterwards."""
        ...


class Signals(Protocol):
    """Core messages of the bus. They may get lost; nothing may depend on one."""

    async def subscribe(self, subject: str, on_data: Callable[[bytes], None]) -> Subscribed:
        """Have every message of the subject given to ``on_data``, over reconnects too.

        OSError where the bus was never reached.
        """
        ...

    async def flush(self) -> None:
        """Return when the server knows all subscriptions; OSError (or TimeoutError) if not."""
        ...

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have ``callback`` awaited after each reconnect."""
        ...


class Tickets(Protocol):
    """Tickets for `?ticket=`, by the SHA-256 of their text. Times in ms since 1970.

    No ticket outlives its caller's token. Raises UnavailableError where they cannot be reached.
    """

    async def issue(self, digest: str, caller: Caller, room: str, usable_until: int) -> None:
        """Store a new ticket of that caller and room."""
        ...

    async def use(self, digest: str, room: str, now: int, usable_until: int) -> Caller | None:
        """Return whom a live ticket of that room stands for, and keep it until ``usable_until``."""
        ...

    async def keep(self, digests: Iterable[str], usable_until: int) -> None:
        """Keep tickets that are in use, or were until now."""
        ...


class Meters(Protocol):
    """What the streams count."""

    def followers(self, change: int) -> None:
        """Note that so many streams were opened, or closed when negative."""
        ...

    def lagged(self) -> None:
        """Note that a stream was cut because its reader did not keep up."""
        ...
