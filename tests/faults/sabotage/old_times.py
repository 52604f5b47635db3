"""A room-worker that leaves a room its next times when a patch replaces its schedule or ends it."""

from __future__ import annotations

from unittest.mock import patch

from abbotik_contracts.room_commands import PatchRoom
from abbotik_room_worker import app
from abbotik_room_worker.domain import requests
from abbotik_room_worker.domain.draft import Decision, Draft
from abbotik_room_worker.domain.requests import Circumstances
from abbotik_room_worker.domain.room import Room

_sound = requests.patch


def patch_all_but_the_times(
    room: Room, command: PatchRoom, now: int, around: Circumstances
) -> Decision:
    """Change the configuration; what the room waits for stays."""
    decision = _sound(room, command, now, around)
    if isinstance(decision, Draft):
        decision.room.wakes = room.wakes
    return decision


if __name__ == "__main__":
    with patch.object(requests, "patch", patch_all_but_the_times):
        app.main()
