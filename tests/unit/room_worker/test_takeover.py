"""Recovery, handing over and the limit for poison turns, decided."""

from __future__ import annotations

from dataclasses import replace

import pytest

from abbotik_room_worker.domain.draft import begin
from abbotik_room_worker.domain.due import wants_turn
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.room import Lease, OpenCall, Room
from abbotik_room_worker.domain.takeover import (
    MAX_RECOVERIES_WITHOUT_PROGRESS,
    HandOver,
    Recover,
    stop_turn,
    take_over,
)
from abbotik_room_worker.domain.turns import Step
from tests.unit.room_worker.rooms import (
    T0,
    TURN,
    active,
    after,
    asked,
    claim,
    drafted,
    failed,
    finish,
    held,
    idle,
    interrupt,
    message,
    payload,
    released,
    releasing,
    rented,
    sleeping,
    types,
    uid,
    undone,
)

CALL = OpenCall("call-1", "echo", idempotent=True)


def _recover(room: Room, session: str = "w2") -> Recover:
    return Recover(session, None if room.lease is None else room.lease.session, room.epoch)


def test_recovered_turn_goes_on_under_the_next_epoch() -> None:
    """The same turn, another session, the next epoch; the event names the one before."""
    room = active()
    draft = drafted(held(room, _recover(room)))
    assert types(draft) == ["room:recovered"]
    assert payload(draft, "room:recovered") == {"epoch": 2, "previous_worker": "w1"}
    assert draft.room.lease == Lease("w2", 2)
    assert draft.room.turn is not None
    assert (draft.room.turn.id, draft.room.turn.recoveries) == (TURN, 1)
    assert draft.room.status is RoomStatus.ACTIVE


def test_what_the_last_holder_opened_stays_open() -> None:
    """Open calls go over to the next holder, which settles them."""
    room = after(held(active(), Step("w1", 1, TURN, opened=(CALL,))))
    recovered = after(held(room, _recover(room)))
    assert recovered.turn is not None
    assert recovered.turn.open_calls == (replace(CALL, started_at=T0),)


@pytest.mark.parametrize(
    "command", [Recover("w2", "w9", 1), Recover("w2", "w1", 0), Recover("w2", None, 1)]
)
def test_only_the_lease_that_was_seen_is_taken(command: Recover) -> None:
    """Another holder or another epoch than the one found dead: somebody was faster."""
    undone(held(active(), command))


@pytest.mark.parametrize("room", [rented(), idle(), sleeping(), failed(), released()])
def test_room_without_a_turn_has_nothing_to_recover(room: Room) -> None:
    """Only a turn can be taken over."""
    undone(held(room, Recover("w2", None, room.epoch)))


def test_old_holder_is_out() -> None:
    """After a takeover the old holder's steps, ends and hand overs are dropped."""
    room = active()
    taken = after(held(room, _recover(room)))
    for late in (
        Step("w1", 1, TURN, opened=(CALL,)),
        finish(room),
        HandOver("w1", 1),
    ):
        assert undone(held(taken, late)).lease_lost


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_turn_that_was_told_to_stop_ends_when_it_is_recovered(mode: str) -> None:
    """Nobody runs a turn again that somebody wanted stopped."""
    room = after(asked(active(), interrupt(5, mode=mode)))
    room = after(asked(room, message(3)))
    draft = drafted(held(room, _recover(room)))
    assert types(draft) == ["room:recovered", "actor:turn_end", "room:idle"]
    assert payload(draft, "actor:turn_end")["status"] == "interrupted"
    assert payload(draft, "room:idle") == {"reason": "interrupted"}
    assert draft.room.lease is None
    assert wants_turn(draft.room)


def test_releasing_room_ends_when_it_is_recovered() -> None:
    """A release whose holder died is carried out by whoever finds it."""
    room = releasing()
    draft = drafted(held(room, _recover(room)))
    assert types(draft) == ["room:recovered", "actor:turn_end", "room:released"]
    assert draft.room.status is RoomStatus.RELEASED
    assert draft.room.lease is None


def test_poison_turn_stops_as_failed() -> None:
    """After so many takeovers without a step the turn fails, with its cause, and not before."""
    room = active()
    for number in range(MAX_RECOVERIES_WITHOUT_PROGRESS):
        draft = drafted(held(room, _recover(room, f"w{number + 2}")))
        assert types(draft) == ["room:recovered"]
        room = draft.room
    draft = drafted(held(room, _recover(room, "w99")))
    assert types(draft) == ["room:recovered", "error", "actor:turn_end"]
    assert draft.room.status is RoomStatus.FAILED
    assert draft.room.last_error is not None
    assert draft.room.last_error["code"] == "TURN_POISONED"
    assert "5 workers were lost" in str(draft.room.last_error["message"])


def test_a_step_is_progress() -> None:
    """Each step begins the count of takeovers anew."""
    room = active()
    for number in range(3 * MAX_RECOVERIES_WITHOUT_PROGRESS):
        room = after(held(room, _recover(room, f"w{number + 2}")))
        assert room.lease is not None
        call = OpenCall(f"call-{number}", "echo", idempotent=True)
        room = after(held(room, Step(room.lease.session, room.epoch, TURN, opened=(call,))))
    assert room.status is RoomStatus.ACTIVE


def test_handed_over_turn_waits_without_a_holder() -> None:
    """The lease is gone, the turn is not, and the room says that it wants somebody."""
    draft = drafted(held(active(), HandOver("w1", 1)))
    assert draft.events == []
    assert draft.room.lease is None
    assert draft.room.turn is not None
    assert draft.room.status is RoomStatus.ACTIVE
    assert wants_turn(draft.room)


def test_handed_over_turn_is_recovered_not_claimed() -> None:
    """Whoever takes it goes on with the same turn."""
    room = after(held(active(), HandOver("w1", 1)))
    undone(held(room, claim("w2", uid(901))))
    recovered = drafted(held(room, _recover(room)))
    assert payload(recovered, "room:recovered") == {"epoch": 2, "previous_worker": None}
    assert recovered.room.turn is not None
    assert recovered.room.turn.id == TURN


def test_handing_over_is_no_fault_of_the_turns() -> None:
    """However often workers are told to stop, the turn is not poisoned by it."""
    room = active()
    for number in range(4 * MAX_RECOVERIES_WITHOUT_PROGRESS):
        assert room.lease is not None
        room = after(held(room, HandOver(room.lease.session, room.epoch)))
        room = after(held(room, _recover(room, f"w{number + 2}")))
    assert room.status is RoomStatus.ACTIVE


@pytest.mark.parametrize("command", [HandOver("w2", 1), HandOver("w1", 2)])
def test_only_the_holder_hands_over(command: HandOver) -> None:
    """A lease of somebody else is not given away."""
    assert undone(held(active(), command)).lease_lost
    assert undone(held(idle(), command)).lease_lost


def test_building_blocks_refuse_a_room_without_a_turn() -> None:
    """Taking over or stopping nothing is a fault of the caller's."""
    with pytest.raises(ValueError, match="none to take over"):
        take_over(begin(idle(), T0), "w2")
    with pytest.raises(ValueError, match="no turn to stop"):
        stop_turn(begin(idle(), T0), "interrupted")
