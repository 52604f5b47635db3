"""The occurrences of a schedule whose time has come: each ends as one outcome.

The outcome and the next times are one commit, so a restart or a takeover cannot repeat an
occurrence, and whoever notices that it is due keeps it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal
from uuid import UUID, uuid5

from abbotik_contracts.policies import Schedule
from abbotik_contracts.room_bodies import MessageBody
from abbotik_contracts.room_log import Record
from abbotik_kernel.clock import rfc3339
from abbotik_room_worker.domain.draft import Draft
from abbotik_room_worker.domain.lifecycle import RoomStatus, RoomVerb
from abbotik_room_worker.domain.queueing import queue, revive
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.domain.schedule import next_times, times

Outcome = Literal["fired", "coalesced", "skipped"]

# Who keeps an occurrence later than this was not there in time, in ms.
MISFIRE_MS = 30_000
# Missed ones that are told one by one; those before them share one event.
TOLD_APART = 16
# More missed occurrences than this are not counted.
MOST_MISSED = 10_000


def keep_wakes(draft: Draft, max_queue: int) -> None:
    """End every occurrence up to now and set the next times; without one, do nothing."""
    schedule = draft.room.config.wake_policy.schedule
    if schedule is None or not (due := _due(draft.room, schedule, draft.now)):
        return
    missed, fires = _divide(due, schedule, draft.now)
    outcome: Outcome = "skipped" if schedule.misfire == "skip" else "coalesced"
    _tell_missed(draft, missed, outcome, "misfire")
    if fires is not None:
        outcome, reason = _fire(draft, schedule, fires, max_queue)
        _tell(draft, fires, outcome, reason)
    # An interval goes on from its last occurrence, unless that was too long ago to count from.
    after = due[-1] if len(due) < MOST_MISSED else draft.now
    draft.room.wakes = next_times(schedule, after)


def end_wakes(draft: Draft) -> None:
    """End every occurrence up to now, and all later ones, of a room that is released."""
    schedule = draft.room.config.wake_policy.schedule
    if schedule is not None:
        _tell_missed(draft, _due(draft.room, schedule, draft.now), "skipped", "released")
    draft.room.wakes = ()


def occurrence_id(room: str, at: int) -> str:
    """Return the id of an occurrence, whoever keeps it; also of the message that it posts."""
    return str(uuid5(UUID(room), str(at)))


def _due(room: Room, schedule: Schedule, now: int) -> list[int]:
    if not room.wakes or room.wakes[0] > now:
        return []
    first = room.wakes[0]
    rest = itertools.takewhile(lambda at: at <= now, times(schedule, first))
    return [first, *itertools.islice(rest, MOST_MISSED - 1)]


def _divide(due: list[int], schedule: Schedule, now: int) -> tuple[list[int], int | None]:
    """Return the occurrences that were missed, and the one that fires now."""
    *earlier, last = due
    if now - last <= MISFIRE_MS or schedule.misfire == "fire_once":
        return earlier, last
    return due, None


def _tell_missed(draft: Draft, missed: Sequence[int], outcome: Outcome, reason: str) -> None:
    apart = missed[-TOLD_APART:]
    together = missed[: -len(apart)] if apart else ()
    if together:
        first = rfc3339(together[0])
        _tell(draft, together[-1], outcome, reason, occurrences=len(together), first=first)
    for at in apart:
        _tell(draft, at, outcome, reason)


def _fire(draft: Draft, schedule: Schedule, at: int, max_queue: int) -> tuple[Outcome, str | None]:
    """Wake the room as the schedule wants it; returns the outcome and its reason."""
    room = draft.room
    busy = room.turn is not None or bool(room.queue)
    if room.status is RoomStatus.FAILED:
        return "skipped", "room_failed"
    if busy and schedule.overlap == "skip":
        return "skipped", "overlap"
    if schedule.content is None and room.turn is not None:
        return "coalesced", "overlap"
    if len(room.queue) >= max_queue:
        return "skipped", "queue_full"
    if schedule.content is not None:
        message_id = occurrence_id(room.id, at)
        queue(draft, message_id, MessageBody(content=schedule.content), author="system")
        # By its id the turn finds its message.
        draft.keys.append(message_id)
    revive(draft, RoomVerb.WAKE, "woken")
    room.woken = bool(room.queue)
    room.idle_since = draft.now
    return "fired", None


def _tell(draft: Draft, at: int, outcome: Outcome, reason: str | None, **more: str | int) -> None:
    payload: Record = {
        "cause": "schedule",
        "outcome": outcome,
        "occurrence_id": occurrence_id(draft.room.id, at),
        "scheduled_for": rfc3339(at),
        "reason": reason,
        **more,
    }
    draft.add("room:wake", payload)
