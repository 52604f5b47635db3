"""What a follower asks for: where to begin, whether to stay, and how frames look."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from abbotik_gateway.domain.problem import Problem, invalid_query
from abbotik_gateway.domain.sse import Variant

MAX_ROOMS = 100
# The largest position that a 64-bit seq could have; larger ones were never given out.
MAX_POSITION = 2**63 - 1

_POSITION = re.compile(r"0|[1-9][0-9]{0,18}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TYPES = re.compile(r"[a-z_:]{1,64}(,[a-z_:]{1,64}){0,63}")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class FollowQuery:
    """One room's question. ``after`` is the position before the first event that is wanted."""

    after: int
    stay: bool
    variant: Variant


def is_room_id(text: str) -> bool:
    """Say whether a text is a canonical id; one that is not is a room nobody has."""
    return _UUID.fullmatch(text) is not None


def no_room() -> Problem:
    """Return the Problem of a room that the caller's tenant does not have."""
    return Problem("ROOM_NOT_FOUND")


def ahead(after: int, head: int) -> Problem:
    """Return the Problem of a position that the room's log has not reached."""
    detail = f"The position {after} is ahead of the log, which ends at {head}."
    return Problem("CURSOR_AHEAD", detail, extra={"last_event_seq": head})


def read_position(text: str) -> int:
    """Read a position; CURSOR_INVALID for anything that no answer ever gave."""
    if _POSITION.fullmatch(text) is None or int(text) > MAX_POSITION:
        raise Problem("CURSOR_INVALID")
    return int(text)


def read_flag(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Read a query parameter that is `true` or `false`."""
    text = query.get(name)
    if text is None:
        return default
    if text not in _FLAGS:
        raise invalid_query(name, "must be `true` or `false`")
    return _FLAGS[text]


def wants_page(query: Mapping[str, str]) -> bool:
    """Say whether `?format=` asks for one page of JSON and not for a stream."""
    form = query.get("format", "sse")
    if form not in ("sse", "json"):
        raise invalid_query("format", "must be `sse` or `json`")
    return form == "json"


def read_variant(query: Mapping[str, str]) -> Variant:
    """Read `named` and `types`."""
    types = query.get("types")
    if types is not None and _TYPES.fullmatch(types) is None:
        raise invalid_query("types", "must be event types with commas between them")
    wanted = None if types is None else frozenset(types.split(","))
    return Variant(named=read_flag(query, "named", default=True), types=wanted)


def read_follow(query: Mapping[str, str], last_event_id: str | None) -> FollowQuery:
    """Read the parameters of one room's stream; the header wins over `after`."""
    after = read_position(query["after"]) if "after" in query else 0
    # A browser sends back what it had; an empty id is what it has before the first event.
    if last_event_id:
        after = read_position(last_event_id)
    return FollowQuery(after, read_flag(query, "follow", default=True), read_variant(query))


def read_rooms(query: Mapping[str, str], last_event_id: str | None) -> dict[str, int]:
    """Read `?rooms=a:17,b`: rooms with their positions; the header moves the room it names."""
    text = query.get("rooms", "")
    parts = text.split(",") if text else []
    if not 1 <= len(parts) <= MAX_ROOMS:
        raise invalid_query("rooms", f"must be 1 to {MAX_ROOMS} rooms with commas between them")
    rooms: dict[str, int] = {}
    for part in parts:
        room, colon, position = part.partition(":")
        if not is_room_id(room):
            raise no_room()
        if room in rooms:
            raise invalid_query("rooms", "names a room twice")
        rooms[room] = read_position(position) if colon else 0
    if last_event_id:
        room, _, position = last_event_id.partition(":")
        if room not in rooms:
            raise Problem("CURSOR_INVALID")
        rooms[room] = read_position(position)
    return rooms


def of_several(variant: Variant) -> Variant:
    """Return the variant for a stream of several rooms, whose ids name the room."""
    return replace(variant, prefixed=True)
