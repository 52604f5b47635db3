"""Deadlines: when somebody must look at a room, and what happens then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from abbotik_contracts.policies import WakePolicy
from abbotik_room_worker.domain.due import TURN_GRACE_MS, due_at, wants_turn
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.room import Interrupt, Room
from abbotik_room_worker.domain.takeover import HandOver
from abbotik_room_worker.domain.ticks import ESCALATION_MS, Tick
from tests.unit.room_worker.rooms import (
    T0,
    TIMEOUT_MS,
    active,
    after,
    asked,
    drafted,
    failed,
    finish,
    held,
    idle,
    interrupt,
    message,
    patch,
    payload,
    release,
    released,
    releasing,
    rented,
    room_in,
    sleeping,
    types,
    uid,
    undone,
    wake,
)

SLEEPY = WakePolicy(sleep_after_s=5)
TICK = Tick("w2", 8)


@pytest.mark.parametrize("status", RoomStatus)
def test_every_state_with_a_turn_has_a_deadline(status: RoomStatus) -> None:
    """Nothing stays active or releasing for ever; a state that waits for callers may."""
    due = due_at(room_in(status))
    if status in (RoomStatus.ACTIVE, RoomStatus.RELEASING):
        assert due is not None
    else:
        assert due is None


@pytest.mark.parametrize("status", RoomStatus)
def test_nothing_happens_before_the_deadline(status: RoomStatus) -> None:
    """A tick that comes early, or for a room without a deadline, does nothing."""
    undone(held(room_in(status), TICK, T0))


@pytest.mark.parametrize("make", [rented, idle])
def test_resting_room_falls_asleep(make: Callable[..., Room]) -> None:
    """After `sleep_after_s` without work, not a millisecond earlier."""
    room = make(wake_policy=SLEEPY)
    assert due_at(room) == T0 + 5_000
    undone(held(room, TICK, T0 + 4_999))
    draft = drafted(held(room, TICK, T0 + 5_000))
    assert types(draft) == ["room:sleeping"]
    assert draft.room.status is RoomStatus.SLEEPING
    assert due_at(draft.room) is None


@pytest.mark.parametrize(
    "room",
    [
        after(asked(rented(wake_policy=SLEEPY), message(2))),
        active(wake_policy=SLEEPY),
        failed(wake_policy=SLEEPY),
        released(wake_policy=SLEEPY),
    ],
    ids=["queued", "active", "failed", "released"],
)
def test_room_with_work_or_without_rest_does_not_sleep(room: Room) -> None:
    """Only an idle or just rented room with nothing to do falls asleep."""
    undone(held(room, TICK, T0 + 60_000))


def test_sleep_counts_from_the_end_of_the_last_work() -> None:
    """The end of a turn begins the time anew, and so does a wake."""
    room = active(wake_policy=SLEEPY)
    room = after(held(room, finish(room), T0 + 3_000))
    assert due_at(room) == T0 + 8_000
    room = after(asked(room, wake(4), T0 + 7_000))
    assert due_at(room) == T0 + 12_000


def test_patch_can_give_a_room_its_sleep() -> None:
    """The policy counts from the moment it is there."""
    room = after(asked(idle(), patch(5, wake_policy={"sleep_after_s": 5})))
    assert due_at(room) == T0 + 5_000


def test_soft_interrupt_becomes_hard_at_its_deadline() -> None:
    """Whoever did not come to a step in time is told harder, with a little more time."""
    room = after(asked(active(), interrupt(5, mode="soft", deadline_ms=1_000)))
    assert due_at(room) == T0 + 1_000
    undone(held(room, TICK, T0 + 999))
    draft = drafted(held(room, TICK, T0 + 1_000))
    assert draft.events == []
    assert draft.room.turn is not None
    assert draft.room.turn.interrupt == Interrupt("hard", T0 + 1_000 + ESCALATION_MS)
    assert draft.room.lease == room.lease
    assert due_at(draft.room) == T0 + 1_000 + ESCALATION_MS


def test_hard_interrupt_is_finished_by_whoever_ticks() -> None:
    """Past the deadline the turn ends under the next epoch and the holder is out."""
    room = after(asked(active(), interrupt(5, mode="hard", deadline_ms=1_000)))
    room = after(asked(room, message(3)))
    draft = drafted(held(room, TICK, T0 + 1_000))
    assert types(draft) == ["actor:turn_end", "room:idle"]
    assert payload(draft, "actor:turn_end")["status"] == "interrupted"
    assert draft.room.epoch == 2
    assert draft.room.lease is None
    assert wants_turn(draft.room)
    assert undone(held(draft.room, finish(room))).lease_lost


def test_release_ends_at_its_deadline() -> None:
    """A holder that does not stop cannot keep a room from being released."""
    room = after(asked(active(), release(5, result="r")))
    undone(held(room, TICK, T0 + 9_999))
    draft = drafted(held(room, TICK, T0 + 10_000))
    assert types(draft) == ["actor:turn_end", "room:released"]
    assert (draft.room.status, draft.room.result) == (RoomStatus.RELEASED, "r")
    assert draft.room.epoch == 2


def test_release_that_hurries_ends_with_the_earlier_interrupt() -> None:
    """An interrupt's earlier deadline also ends the release."""
    room = after(asked(active(), interrupt(4, deadline_ms=1_000)))
    room = after(asked(room, release(5)))
    assert after(held(room, TICK, T0 + 1_000)).status is RoomStatus.RELEASED


def test_turn_past_its_deadline_fails() -> None:
    """The holder has a grace to end it itself; after that anybody does."""
    room = after(asked(active(), message(3)))
    due = T0 + TIMEOUT_MS + TURN_GRACE_MS
    assert due_at(room) == due
    undone(held(room, TICK, due - 1))
    draft = drafted(held(room, TICK, due))
    assert types(draft) == ["error", "actor:turn_end"]
    assert payload(draft, "error")["code"] == "TURN_TIMEOUT"
    assert draft.room.status is RoomStatus.FAILED
    assert [trigger.id for trigger in draft.room.queue] == [uid(3)]


def test_turn_that_was_handed_over_has_the_same_deadlines() -> None:
    """A turn that nobody takes up ends all the same."""
    room = after(held(active(), HandOver("w1", 1)))
    assert types(held(room, TICK, T0 + TIMEOUT_MS + TURN_GRACE_MS)) == ["error", "actor:turn_end"]


@pytest.mark.parametrize(
    "room",
    [
        active(),
        releasing(),
        after(asked(active(), interrupt(5, mode="soft"))),
        after(asked(active(), interrupt(5, mode="hard"))),
        after(held(releasing(), HandOver("w1", 1))),
    ],
    ids=["active", "releasing", "soft", "hard", "releasing without a holder"],
)
def test_ticks_alone_end_every_turn(room: Room) -> None:
    """Were every message lost and every worker silent, looking at deadlines is enough."""
    for _ in range(3):
        due = due_at(room)
        if due is None:
            break
        room = after(held(room, TICK, due))
    assert room.turn is None
    assert room.lease is None


@pytest.mark.parametrize("mode", ["on_message", "explicit"])
def test_wants_turn_only_in_states_that_can_begin_one(mode: str) -> None:
    """Queued work is wanted where a turn may begin and the mode allows it, else nowhere."""
    policy = WakePolicy.model_validate({"mode": mode})
    for status in RoomStatus:
        room = room_in(status)
        assert not wants_turn(room), status
        if status in (RoomStatus.RENTED, RoomStatus.IDLE, RoomStatus.SLEEPING):
            room.config = room.config.model_copy(update={"wake_policy": policy})
            queued = after(asked(room, message(60)))
            assert wants_turn(queued) is (mode == "on_message")


def test_sleeping_room_with_work_is_wanted() -> None:
    """A message to a sleeping room without a free slot is a reason to wake it."""
    assert wants_turn(after(asked(sleeping(), message(3))))
