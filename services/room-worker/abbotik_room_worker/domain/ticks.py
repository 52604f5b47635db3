"""What happens when a deadline has passed, whoever notices it."""

from __future__ import annotations

from dataclasses import dataclass

from abbotik_room_worker.domain.draft import Decision, Draft, Nothing, begin
from abbotik_room_worker.domain.due import TURN_GRACE_MS, due_at, sleeps_at
from abbotik_room_worker.domain.lifecycle import RoomVerb
from abbotik_room_worker.domain.room import Interrupt, Room
from abbotik_room_worker.domain.takeover import stop_turn, take_over
from abbotik_room_worker.domain.wakes import keep_wakes

# What a soft interrupt that passed its deadline gets as a hard one, in ms.
ESCALATION_MS = 2_000


@dataclass(frozen=True, slots=True)
class Tick:
    """Look at the room's deadlines; ``session`` is the worker that does.

    ``max_queue`` bounds what a schedule may add to the queue.
    """

    session: str
    max_queue: int


def tick(room: Room, command: Tick, now: int) -> Decision:
    """Keep the deadlines that have passed: occurrences of the schedule, then the most urgent."""
    due = due_at(room)
    if due is None or due > now:
        return Nothing("nothing is due")
    draft = begin(room, now)
    keep_wakes(draft, command.max_queue)
    sleeps = sleeps_at(draft.room)
    if draft.room.turn is not None:
        _keep_turn_deadline(draft, command.session)
    elif sleeps is not None and sleeps <= now:
        draft.move(RoomVerb.SLEEP)
        draft.add("room:sleeping", {"reason": "sleep_after_s"})
    return draft


def _keep_turn_deadline(draft: Draft, session: str) -> None:
    room, now = draft.room, draft.now
    turn = room.turn
    if turn is None:
        raise ValueError("a room without a turn has no turn deadline")
    stop = turn.interrupt
    if room.releasing is not None and room.releasing.deadline_at <= now:
        take_over(draft, session)
        stop_turn(draft, "interrupted")
    elif stop is not None and stop.deadline_at <= now and stop.mode == "soft":
        room.turn = turn._replace(interrupt=Interrupt("hard", now + ESCALATION_MS))
    elif stop is not None and stop.deadline_at <= now:
        take_over(draft, session)
        stop_turn(draft, "interrupted")
    elif turn.deadline_at + TURN_GRACE_MS <= now:
        take_over(draft, session)
        stop_turn(draft, "failed", "TURN_TIMEOUT", "the turn passed its deadline")
