"""Two questions about a state: does the room want a turn, and when must somebody look again."""

from __future__ import annotations

from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.room import Room

_READY = frozenset({RoomStatus.RENTED, RoomStatus.IDLE, RoomStatus.SLEEPING})
_RESTING = frozenset({RoomStatus.RENTED, RoomStatus.IDLE})

# How long after a turn's deadline the holder may still end it itself, in ms.
TURN_GRACE_MS = 5_000


def wants_turn(room: Room) -> bool:
    """Say whether a free worker should take the room: queued work, or a turn without a holder."""
    if room.turn is not None:
        return room.lease is None
    allowed = room.status in _READY or room.status is RoomStatus.ACTIVE
    return (
        allowed
        and bool(room.queue)
        and (room.config.wake_policy.mode == "on_message" or room.woken)
    )


def due_at(room: Room) -> int | None:
    """Return the nearest deadline in ms, or None: wake, turn, interrupt, release, sleep."""
    deadlines = list(room.wakes[:1])
    if room.turn is not None:
        deadlines.append(room.turn.deadline_at + TURN_GRACE_MS)
        if room.turn.interrupt is not None:
            deadlines.append(room.turn.interrupt.deadline_at)
    if room.releasing is not None:
        deadlines.append(room.releasing.deadline_at)
    sleeps = sleeps_at(room)
    if sleeps is not None:
        deadlines.append(sleeps)
    return min(deadlines, default=None)


def sleeps_at(room: Room) -> int | None:
    """Return when a room without work falls asleep in ms, None where it does not."""
    sleep_after = room.config.wake_policy.sleep_after_s
    if sleep_after is None or room.status not in _RESTING or room.queue:
        return None
    return room.idle_since + sleep_after * 1000
