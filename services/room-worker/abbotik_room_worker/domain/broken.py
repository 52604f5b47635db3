"""A command that no worker could carry out: its room says so, and is as it was."""

from __future__ import annotations

from dataclasses import dataclass

from abbotik_room_worker.domain.draft import Decision, Nothing, begin
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.room import Room


@dataclass(frozen=True, slots=True)
class Broken:
    """Tell followers of a command that is kept as a dead letter. Its outcome stays open."""

    command_id: str


def broken(room: Room, command: Broken, now: int) -> Decision:
    """Add an `error` without a turn."""
    if room.status is RoomStatus.RELEASED:
        return Nothing("the room is over")
    draft = begin(room, now)
    draft.add(
        "error",
        {
            "code": "COMMAND_BROKE",
            "message": "a command could not be carried out and is kept for the operators",
            "turn_id": None,
            "room_status": room.status.value,
            "command_id": command.command_id,
        },
    )
    return draft
