"""The routes of messages and turns as operations."""

from __future__ import annotations

from abbotik_gateway.routes.messages import MessageRoutes
from abbotik_gateway.routes.operation import Operation, Shown, room_paths
from abbotik_gateway.routes.parameters import CURSOR, IDEMPOTENCY_KEY, LIMIT, PREFER, position
from abbotik_gateway.routes.turns import TurnRoutes

_MESSAGES = "/{room_id}/messages"
_TURNS = "/{room_id}/turns"
_PAGED = ("ROOM_NOT_FOUND", "CURSOR_INVALID", "VALIDATION_FAILED")


def message_operations(messages: MessageRoutes) -> list[Operation]:
    """Return the operations on messages."""
    return [
        Operation(
            name="postMessage",
            method="POST",
            paths=room_paths(_MESSAGES),
            endpoint=messages.post,
            summary="Post a message",
            text=(
                "202 once it is queued for good. With `Prefer: wait=N` 200 with the turn and its "
                "outputs, if it ends in time. With `Accept: text/event-stream` the events of its "
                "turn, until that has ended."
            ),
            answers={
                200: Shown("The message, its turn and its outputs.", "AnsweredMessage"),
                202: Shown("The message.", "Message", headers=("Location",)),
            },
            tag="messages",
            needs="edit",
            body="MessageBody",
            parameters=(IDEMPOTENCY_KEY, PREFER),
            codes=(
                "ROOM_NOT_FOUND",
                "TENANT_MISMATCH",
                "ROOM_RELEASED",
                "ROOM_BUSY",
                "ROOM_QUEUE_FULL",
                "ILLEGAL_TRANSITION",
                "DELIVERY_NOT_SUPPORTED",
            ),
        ),
        Operation(
            name="listMessages",
            method="GET",
            paths=room_paths(_MESSAGES),
            endpoint=messages.list_messages,
            summary="Messages of a room",
            text="Ascending by seq. A page holds at most 4 MiB.",
            answers={200: Shown("A page of messages.", "Message", "page")},
            tag="messages",
            parameters=(LIMIT, CURSOR, position("after_seq", "Messages above this seq.")),
            codes=_PAGED,
        ),
        Operation(
            name="readMessage",
            method="GET",
            paths=room_paths(_MESSAGES + "/{message_id}"),
            endpoint=messages.read_message,
            summary="One message",
            answers={200: Shown("The message.", "Message")},
            tag="messages",
            codes=("ROOM_NOT_FOUND", "MESSAGE_NOT_FOUND"),
        ),
    ]


def turn_operations(turns: TurnRoutes) -> list[Operation]:
    """Return the operations on turns."""
    return [
        Operation(
            name="listTurns",
            method="GET",
            paths=room_paths(_TURNS),
            endpoint=turns.list_turns,
            summary="Turns of a room",
            text="In the order of their messages.",
            answers={200: Shown("A page of turns.", "Turn", "page")},
            tag="turns",
            parameters=(LIMIT, CURSOR),
            codes=_PAGED,
        ),
        Operation(
            name="readTurn",
            method="GET",
            paths=room_paths(_TURNS + "/{turn_id}"),
            endpoint=turns.read_turn,
            summary="One turn",
            answers={200: Shown("The turn.", "Turn")},
            tag="turns",
            codes=("ROOM_NOT_FOUND", "TURN_NOT_FOUND"),
        ),
    ]
