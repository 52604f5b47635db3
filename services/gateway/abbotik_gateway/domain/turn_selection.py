"""Which of a room's events belong to the turn of one message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from abbotik_contracts.room_log import Record
from abbotik_gateway.domain.feed import RELEASED, TURN_END, TURN_START, Event

QUEUED = "message:queued"
WITHDRAWN = "message:withdrawn"
ACTIVE = "room:active"
OUTPUT = "actor:output"


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How the turn of a message ended.

    ``status`` is `completed`, `failed` or `interrupted`; `withdrawn` (and no turn) where the
    message never got one. ``output_ids`` are the messages that the turn put out, in order;
    ``seq`` and ``payload`` are those of the event that ended it.
    """

    turn_id: str | None
    status: str
    output_ids: tuple[str, ...]
    seq: int
    payload: Record


class TurnSelection:
    """Takes the message's `message:queued`, `room:active` and all events of its turn.

    ``end`` is set by the last of them. A message that is withdrawn, or whose room is released,
    has no turn to wait for.
    """

    def __init__(self, message_id: str) -> None:
        self.message_id = message_id
        self.turn_id: str | None = None
        self.end: TurnEnd | None = None
        self._outputs: list[str] = []

    def take(self, events: Iterable[Event]) -> list[Event]:
        """Return those that belong to the turn; events must come in order."""
        return [event for event in events if self.end is None and self._takes(event)]

    def _takes(self, event: Event) -> bool:
        mine = event.payload.get("message_id") == self.message_id
        if event.event_type in (QUEUED, WITHDRAWN):
            if mine and event.event_type == WITHDRAWN:
                self._end(event, "withdrawn")
            return mine
        if event.event_type == RELEASED:
            self._end(event, "withdrawn")
            return True
        if event.event_type == ACTIVE:
            return event.payload.get("trigger_message_id") == self.message_id
        if event.event_type == TURN_START and mine:
            self.turn_id = event.turn_id
        return self._of_turn(event)

    def _of_turn(self, event: Event) -> bool:
        if self.turn_id is None or event.turn_id != self.turn_id:
            return False
        message_id = event.payload.get("message_id")
        if event.event_type == OUTPUT and isinstance(message_id, str):
            self._outputs.append(message_id)
        elif event.event_type == TURN_END:
            self._end(event, str(event.payload.get("status", "completed")))
        return True

    def _end(self, event: Event, status: str) -> None:
        outputs = tuple(self._outputs)
        self.end = TurnEnd(self.turn_id, status, outputs, event.seq, event.payload)
