"""A room-worker that does not tell the turns it runs that they are to stop."""

from __future__ import annotations

from unittest.mock import patch

from abbotik_room_worker import app, runner
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.performance import Performance


def keep_it_to_oneself(_performance: Performance, _room: Room) -> None:
    """Do nothing."""


if __name__ == "__main__":
    with patch.object(runner, "_pass_on_stop", keep_it_to_oneself):
        app.main()
