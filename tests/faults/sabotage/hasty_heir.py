"""A room-worker that takes every other one for dead, and their turns over."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

from abbotik_room_worker import app
from abbotik_room_worker.adapters.sessions import MongoSessions
from abbotik_room_worker.ports import DeadSession


class HastySessions(MongoSessions):
    """Says that whoever holds a room is dead, however lately it renewed its session."""

    async def dead(self, holders: Sequence[str] = ()) -> list[DeadSession]:
        """Return all holders but this worker."""
        others = sorted({*holders} - {self._session})
        return [DeadSession(session, projected_through=2**62) for session in others]


if __name__ == "__main__":
    with patch.object(app, "MongoSessions", HastySessions):
        app.main()
