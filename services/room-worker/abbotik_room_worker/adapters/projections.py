"""The `rooms` collection: what lists show and what sweeps look for."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from abbotik_room_worker.domain.due import due_at, wants_turn
from abbotik_room_worker.domain.lifecycle import ROOM
from abbotik_room_worker.domain.room import Room
from abbotik_runtime.projector import Projector

ROOMS = "rooms"


class MongoProjections:
    """Writes projections, the ones of many rooms in one bulk."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._projector = Projector(database, ROOMS)

    def write(self, room: Room, at: int, *, urgent: bool = False) -> asyncio.Future[None]:
        """Owe the newest state of a room."""
        # Who rents a room waits until lists show it.
        urgent = urgent or room.rev == 1
        return self._projector.write(room.id, room.rev, partial(project, room, at), urgent=urgent)


def project(room: Room, at: int) -> dict[str, Any]:
    """Return the document: state, configuration, and what the indexes need. ``at`` in ms."""
    return {
        "_id": room.id,
        "tenant": room.tenant,
        "rev": room.rev,
        "at": at,
        "released": ROOM.terminal(room.status),
        "rented_at": room.rented_at,
        "wants_turn": wants_turn(room),
        "due_at": due_at(room),
        "session": None if room.lease is None else room.lease.session,
        "state": room.to_state(),
        "config": room.config_record,
    }
