"""Server-sent events: how events, deltas and notices look on the wire.

A frame ends with an empty line. A position without an event travels as a comment with an `id:`
line: a browser keeps the id at the empty line and, as there is no data, dispatches nothing
(WHATWG HTML, 9.2.6, "dispatch the event": the id is set before the empty data buffer returns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
from pydantic import JsonValue

from abbotik_gateway.domain.feed import Delta, Event

# The comment makes the headers go out and the client's `open` fire before there is an event.
OPENING = b": \nretry: 2000\n\n"
HEARTBEAT = b": keep-alive\n\n"

DELTA = "actor:delta"
_DELTA_HEAD = b'{"event_type":"actor:delta",'


@dataclass(frozen=True, slots=True)
class Variant:
    """How one follower wants its frames.

    ``named``: with `event:` lines. ``types``: only these, None for all. ``prefixed``: ids are
    `<room>:<seq>`, for streams of several rooms. ``key`` is equal for equal variants.
    """

    named: bool = True
    types: frozenset[str] | None = None
    prefixed: bool = False
    key: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Looked up for each follower and burst; a string knows its hash.
        types = "*" if self.types is None else ",".join(sorted(self.types))
        object.__setattr__(self, "key", f"{self.named} {self.prefixed} {types}")

    def shows(self, event_type: str) -> bool:
        """Say whether the follower asked for that type."""
        return self.types is None or event_type in self.types


def _prefix(variant: Variant, room: str) -> bytes:
    return f"{room}:".encode() if variant.prefixed else b""


def _typed(variant: Variant, event_type: str, data: bytes) -> bytes:
    if not variant.named:
        return b"data: %b\n\n" % data
    return b"event: %b\ndata: %b\n\n" % (event_type.encode(), data)


def _event_frames(variant: Variant, room: str, events: Sequence[Event]) -> list[bytes]:
    prefix = _prefix(variant, room)
    if not variant.named:
        return [b"id: %b%d\ndata: %b\n\n" % (prefix, event.seq, event.data) for event in events]
    return [
        b"id: %b%d\nevent: %b\ndata: %b\n\n"
        % (prefix, event.seq, event.event_type.encode(), event.data)
        for event in events
    ]


def position_frame(variant: Variant, room: str, seq: int) -> bytes:
    """Return a comment that moves the client's last event id past what it did not ask for."""
    return b": \nid: %b%d\n\n" % (_prefix(variant, room), seq)


def delta_frame(variant: Variant, delta: Delta) -> bytes:
    """Return a delta's frame: no id, so that a reconnect resumes at the last durable event."""
    data = _DELTA_HEAD + delta.data.lstrip()[1:]
    return _typed(variant, DELTA, data)


def notice(variant: Variant, name: str, **members: JsonValue) -> bytes:
    """Return the frame of a `stream:…` notice, which is about the stream and not of the room."""
    return _typed(variant, name, orjson.dumps({"event_type": name, **members}))


def frames(variant: Variant, room: str, events: Sequence[Event]) -> bytes:
    """Return the frames of events in order; a position where the last ones are not shown."""
    if variant.types is None:
        return b"".join(_event_frames(variant, room, events))
    shown = [event for event in events if variant.shows(event.event_type)]
    parts = _event_frames(variant, room, shown)
    if events and (not shown or shown[-1].seq < events[-1].seq):
        parts.append(position_frame(variant, room, events[-1].seq))
    return b"".join(parts)
