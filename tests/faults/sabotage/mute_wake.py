"""A room-worker that wakes a room and drops the message which the wake brings."""

from __future__ import annotations

from unittest.mock import patch

from abbotik_contracts.room_commands import WakeRoom
from abbotik_room_worker import app
from abbotik_room_worker.domain import requests
from abbotik_room_worker.domain.draft import Decision
from abbotik_room_worker.domain.requests import Circumstances
from abbotik_room_worker.domain.room import Room

_sound = requests.wake


def wake_without_content(
    room: Room, command: WakeRoom, now: int, around: Circumstances
) -> Decision:
    """Wake the room, and nothing else."""
    body = command.body.model_copy(update={"content": None})
    return _sound(room, command.model_copy(update={"body": body}), now, around)


if __name__ == "__main__":
    with patch.object(requests, "wake", wake_without_content):
        app.main()
