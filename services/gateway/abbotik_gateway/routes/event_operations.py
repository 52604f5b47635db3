"""The routes of event streams as operations."""

from __future__ import annotations

from abbotik_gateway.domain.follow_query import MAX_POSITION, MAX_ROOMS
from abbotik_gateway.routes.events import EventRoutes
from abbotik_gateway.routes.operation import EVENT_STREAM, Operation, Parameter, Shown, room_paths

_FLAG = {"type": "string", "enum": ["true", "false"]}
_POSITION = {"type": "integer", "minimum": 0, "maximum": MAX_POSITION}
_VARIANT = (
    Parameter("follow", "`false` replays and ends.", _FLAG),
    Parameter("named", "`false` leaves the `event:` lines out.", _FLAG),
    Parameter(
        "types",
        "Only events of these types; positions still travel on comment frames.",
        {"type": "string", "pattern": "^[a-z_:]{1,64}(,[a-z_:]{1,64}){0,63}$"},
    ),
)
_EVENTS = "/{room_id}/events"


def event_operations(events: EventRoutes) -> list[Operation]:
    """Return the operations on event streams."""
    return [_follow(events), _follow_several(events), _ticket(events)]


def _follow(events: EventRoutes) -> Operation:
    return Operation(
        name="followRoom",
        method="GET",
        paths=room_paths(_EVENTS),
        endpoint=events.follow,
        summary="Events of a room: replay, then live",
        text=(
            "Server-sent events, whatever `Accept` says; `?format=json` gives a page instead. "
            "204 once the room is released and the position is its last. A browser's EventSource "
            "sends `?ticket=` in place of a header."
        ),
        answers={
            200: Shown("The stream.", media_type=EVENT_STREAM),
            204: Shown("There is nothing more, and never will be."),
        },
        tag="events",
        parameters=(
            Parameter("after", "Events above this seq.", _POSITION),
            *_VARIANT,
            Parameter("format", "A page of JSON in place of the stream.", {"const": "json"}),
            Parameter("ticket", "A ticket, where no header can be sent.", {"type": "string"}),
            Parameter(
                "Last-Event-ID", "The position to go on from; outweighs `after`.", _POSITION,
                place="header",
            ),
        ),
        codes=("ROOM_NOT_FOUND", "CURSOR_INVALID", "CURSOR_AHEAD", "VALIDATION_FAILED"),
    )  # fmt: skip


def _follow_several(events: EventRoutes) -> Operation:
    return Operation(
        name="followRooms",
        method="GET",
        paths=("/llm/events",),
        endpoint=events.follow_several,
        summary=f"Events of up to {MAX_ROOMS} rooms on one connection",
        text="Positions are `<room_id>:<seq>`; resume with `?rooms=a:17,b:3`.",
        answers={
            200: Shown("The stream.", media_type=EVENT_STREAM),
            204: Shown("There is nothing more, and never will be."),
        },
        tag="events",
        parameters=(
            Parameter(
                "rooms",
                "Ids, each with `:<seq>` to go on from, with commas between.",
                {"type": "string"},
                required=True,
            ),
            *_VARIANT,
        ),
        codes=("ROOM_NOT_FOUND", "CURSOR_INVALID", "CURSOR_AHEAD", "VALIDATION_FAILED"),
    )


def _ticket(events: EventRoutes) -> Operation:
    return Operation(
        name="issueTicket",
        method="POST",
        paths=room_paths(_EVENTS + "/ticket"),
        endpoint=events.issue_ticket,
        summary="A ticket for a browser's EventSource",
        answers={201: Shown("The ticket.", "Ticket", headers=("Location",))},
        tag="events",
        body="Nothing",
        codes=("ROOM_NOT_FOUND",),
    )
