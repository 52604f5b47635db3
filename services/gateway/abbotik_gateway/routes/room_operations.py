"""The room routes as operations: where their handlers are, and what the API's description says."""

from __future__ import annotations

from abbotik_gateway.handlers.listing import MAX_NAME_CHARS, STATUSES
from abbotik_gateway.routes.operation import Operation, Parameter, Shown, room_paths
from abbotik_gateway.routes.parameters import (
    CURSOR,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LIMIT,
    position,
)
from abbotik_gateway.routes.rooms import RoomRoutes
from abbotik_gateway.web.body import PATCH_TYPES

_ROOM = "/{room_id}"
_ENDING = ("ROOM_NOT_FOUND", "ROOM_RELEASED")


def room_operations(rooms: RoomRoutes) -> list[Operation]:
    """Return the operations on rooms."""
    return [*_collection(rooms), *_one(rooms), *_lifecycle(rooms)]


def _collection(rooms: RoomRoutes) -> list[Operation]:
    return [
        Operation(
            name="listRooms",
            method="GET",
            paths=room_paths(),
            endpoint=rooms.list_rooms,
            summary="Rooms of the tenant",
            text="Unreleased before released, newest first in each.",
            answers={200: Shown("A page of rooms.", "Room", "page")},
            tag="rooms",
            parameters=(
                Parameter("status", "Only rooms in this state.", {"enum": list(STATUSES)}),
                Parameter(
                    "name",
                    "Only rooms with this `metadata.name`.",
                    {"type": "string", "maxLength": MAX_NAME_CHARS},
                ),
                LIMIT,
                CURSOR,
            ),
            codes=("CURSOR_INVALID", "VALIDATION_FAILED"),
        ),
        Operation(
            name="rentRoom",
            method="POST",
            paths=room_paths(),
            endpoint=rooms.rent,
            summary="Rent a room",
            text="Every member is optional; without actors the room gets the default one.",
            answers={201: Shown("The room.", "Room", headers=("Location", "ETag"))},
            tag="rooms",
            needs="edit",
            body="RentBody",
            parameters=(IDEMPOTENCY_KEY,),
            codes=("TENANT_MISMATCH", "POLICY_NOT_SUPPORTED"),
        ),
    ]


def _one(rooms: RoomRoutes) -> list[Operation]:
    return [
        Operation(
            name="readRoom",
            method="GET",
            paths=room_paths(_ROOM),
            endpoint=rooms.read,
            summary="One room",
            text="The `ETag` is the version of its configuration, and of nothing else.",
            answers={200: Shown("The room.", "Room", headers=("ETag",))},
            tag="rooms",
            codes=("ROOM_NOT_FOUND",),
        ),
        Operation(
            name="changeRoom",
            method="PATCH",
            paths=room_paths(_ROOM),
            endpoint=rooms.change,
            summary="Change a room's configuration",
            text="A JSON merge patch (RFC 7396): null resets. It holds from the next turn on.",
            answers={200: Shown("The room.", "Room", headers=("ETag",))},
            tag="rooms",
            needs="edit",
            body="RoomPatch",
            body_types=PATCH_TYPES,
            parameters=(IF_MATCH,),
            codes=(*_ENDING, "TENANT_MISMATCH", "PRECONDITION_FAILED", "POLICY_NOT_SUPPORTED"),
        ),
        Operation(
            name="readHistory",
            method="GET",
            paths=room_paths(_ROOM + "/history"),
            endpoint=rooms.history,
            summary="A room with its messages and events",
            text=(
                "The newest of each, ascending, at most 4 MiB in all. `before_…` ends the list "
                "below a position, `after_…` begins it above one and goes forward from there."
            ),
            answers={200: Shown("The history.", "History")},
            tag="rooms",
            parameters=(
                LIMIT,
                position("before_message_seq", "Messages below this seq."),
                position("after_message_seq", "Messages above this seq, oldest first."),
                position("before_event_seq", "Events below this seq."),
                position("after_event_seq", "Events above this seq, oldest first."),
            ),
            codes=("ROOM_NOT_FOUND", "VALIDATION_FAILED"),
        ),
    ]


def _lifecycle(rooms: RoomRoutes) -> list[Operation]:
    return [
        Operation(
            name="wakeRoom",
            method="POST",
            paths=room_paths(_ROOM + "/wake"),
            endpoint=rooms.wake,
            summary="Wake a room",
            text="With `content` it also posts a message; without, no turn runs.",
            answers={200: Shown("The room.", "Room", headers=("ETag",))},
            tag="rooms",
            needs="edit",
            body="WakeBody",
            parameters=(IDEMPOTENCY_KEY,),
            codes=(*_ENDING, "TENANT_MISMATCH", "ROOM_QUEUE_FULL", "ILLEGAL_TRANSITION"),
        ),
        Operation(
            name="interruptRoom",
            method="POST",
            paths=room_paths(_ROOM + "/interrupt"),
            endpoint=rooms.interrupt,
            summary="Stop the running turn",
            answers={202: Shown("The turn that stops.", "Stopping", headers=("Location",))},
            tag="rooms",
            needs="edit",
            body="InterruptBody",
            parameters=(IDEMPOTENCY_KEY,),
            codes=("ROOM_NOT_FOUND", "TENANT_MISMATCH", "ROOM_NOT_RUNNING", "ILLEGAL_TRANSITION"),
        ),
        Operation(
            name="releaseRoom",
            method="POST",
            paths=room_paths(_ROOM + "/release"),
            endpoint=rooms.release,
            summary="End a room",
            text="Stops a running turn and withdraws the queue. A second release changes nothing.",
            answers={200: Shown("The room.", "Room", headers=("ETag",))},
            tag="rooms",
            needs="edit",
            body="ReleaseBody",
            parameters=(IDEMPOTENCY_KEY,),
            codes=("ROOM_NOT_FOUND", "TENANT_MISMATCH", "ILLEGAL_TRANSITION"),
        ),
    ]
