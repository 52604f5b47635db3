"""What a decision comes to: a draft to commit, a refusal, or nothing to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import JsonValue

from abbotik_contracts.room_log import Record, StoredMessage, StoredTurn
from abbotik_room_worker.domain.lifecycle import ROOM, RoomVerb
from abbotik_room_worker.domain.room import Room


class NewEvent(NamedTuple):
    """An event that a draft adds; the commit gives it its id, its hash and its wire form."""

    type: str
    payload: Record
    actor: str | None = None
    turn: str | None = None


@dataclass(slots=True)
class Draft:
    """A copy of the room, changed, and what goes into the log with it.

    ``keys`` are ids that the log takes only once; ``answer`` says what the commander is told.
    ``now`` in ms.
    """

    room: Room
    now: int
    events: list[NewEvent] = field(default_factory=list)
    messages: list[StoredMessage] = field(default_factory=list)
    turns: list[StoredTurn] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    config_changed: bool = False
    answer: Record | None = None

    def move(self, verb: RoomVerb) -> None:
        """Move the room along its table; IllegalTransitionError where the table has no row."""
        self.room.status = ROOM.after(self.room.status, verb)

    def add(
        self,
        event_type: str,
        payload: dict[str, JsonValue],
        *,
        actor: str | None = None,
        turn: str | None = None,
    ) -> None:
        """Add an event; it takes the next seq."""
        self.room.last_event_seq += 1
        self.events.append(NewEvent(event_type, payload, actor, turn))

    def say(self, message: StoredMessage) -> None:
        """Add a message; the caller gave it the next seq."""
        self.room.last_message_seq = message["seq"]
        self.messages.append(message)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that is not carried out.

    A ``lasting`` refusal stays true for ever and needs no entry; any other is committed, so that
    a redelivery of the same command cannot be answered otherwise.
    """

    code: str
    detail: str
    lasting: bool = False
    extra: Record = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to do; ``reason`` is for the log line and for tests.

    ``lease_lost`` tells a holder that it is none any more.
    """

    reason: str
    lease_lost: bool = False


Decision = Draft | Refusal | Nothing


def begin(room: Room, now: int) -> Draft:
    """Return an empty draft on a copy of the room."""
    return Draft(room=room.copy(), now=now)
