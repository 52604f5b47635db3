"""Taking a turn over from a worker that is gone, and giving one up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from abbotik_room_worker.domain.draft import Decision, Draft, Nothing, begin
from abbotik_room_worker.domain.ending import Finish, end_turn, go_on
from abbotik_room_worker.domain.lifecycle import RoomStatus, RoomVerb
from abbotik_room_worker.domain.room import Lease, Room, Turn

MAX_RECOVERIES_WITHOUT_PROGRESS = 5


@dataclass(frozen=True, slots=True)
class Recover:
    """Take over the turn of a lease whose session is gone, or that nobody runs."""

    session: str
    from_session: str | None
    from_epoch: int


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give the lease back at a step, so that another worker goes on."""

    session: str
    epoch: int


def recover(room: Room, command: Recover, now: int) -> Decision:
    """Take the turn over under the next epoch; one that was told to stop ends at once."""
    held = room.lease.session if room.lease is not None else None
    if room.turn is None or held != command.from_session or room.epoch != command.from_epoch:
        return Nothing("another worker has it")
    draft = begin(room, now)
    draft.move(RoomVerb.RECOVER)
    taken = take_over(draft, command.session)
    draft.add("room:recovered", {"epoch": draft.room.epoch, "previous_worker": held}, turn=taken.id)
    if taken.recoveries > MAX_RECOVERIES_WITHOUT_PROGRESS:
        stop_turn(
            draft,
            "failed",
            "TURN_POISONED",
            f"{taken.recoveries - 1} workers were lost running this turn without a step",
        )
    elif taken.interrupt is not None or draft.room.status is RoomStatus.RELEASING:
        stop_turn(draft, "interrupted")
    return draft


def take_over(draft: Draft, session: str) -> Turn:
    """Give the turn to a session under the next epoch and count the takeover."""
    room = draft.room
    if room.turn is None:
        raise ValueError("a room without a turn has none to take over")
    room.epoch += 1
    room.lease = Lease(session, room.epoch)
    room.turn = room.turn._replace(recoveries=room.turn.recoveries + 1)
    return room.turn


def stop_turn(
    draft: Draft,
    status: Literal["failed", "interrupted"],
    code: str | None = None,
    message: str = "",
) -> None:
    """End the turn in place of a holder that did not: without output, whatever it had said."""
    room = draft.room
    if room.turn is None or room.lease is None:
        raise ValueError("a room without a holder has no turn to stop")
    ending = Finish(
        session=room.lease.session,
        epoch=room.lease.epoch,
        turn_id=room.turn.id,
        status=status,
        output_id="",
        error_code=code,
        error_message=message,
        idle_reason=status,
    )
    end_turn(draft, ending)
    go_on(draft, ending)


def hand_over(room: Room, command: HandOver, now: int) -> Decision:
    """Leave the turn without a holder; it is recovered, not failed."""
    if room.turn is None or not room.holds(command.session, command.epoch):
        return Nothing("the lease is lost", lease_lost=True)
    draft = begin(room, now)
    draft.room.lease = None
    # A process that was told to stop is no fault of the turn's.
    draft.room.turn = room.turn._replace(recoveries=max(0, room.turn.recoveries - 1))
    return draft
