"""The room's table, and that decisions follow it in each of the seven states."""

from __future__ import annotations

import pytest

from abbotik_kernel.lifecycle import IllegalTransitionError
from abbotik_room_worker.domain.draft import Draft, Refusal, begin
from abbotik_room_worker.domain.lifecycle import ROOM, RoomStatus, RoomVerb
from tests.unit.room_worker.rooms import (
    asked,
    drafted,
    interrupt,
    message,
    patch,
    refused,
    release,
    rented,
    room_in,
    undone,
    wake,
)

_S, _V = RoomStatus, RoomVerb

# Written from the API document, apart from the code. A verb that is missing in a row is refused.
TABLE: dict[str, dict[str, str]] = {
    "rented": {
        "message": "rented",
        "patch": "rented",
        "begin_turn": "active",
        "sleep": "sleeping",
        "wake": "rented",
        "release": "released",
    },
    "active": {
        "message": "active",
        "patch": "active",
        "begin_turn": "active",
        "drain": "idle",
        "fail": "failed",
        "interrupt": "active",
        "recover": "active",
        "wake": "active",
        "release": "releasing",
    },
    "idle": {
        "message": "idle",
        "patch": "idle",
        "begin_turn": "active",
        "sleep": "sleeping",
        "wake": "idle",
        "release": "released",
    },
    "sleeping": {
        "message": "sleeping",
        "patch": "sleeping",
        "begin_turn": "active",
        "wake": "idle",
        "release": "released",
    },
    "releasing": {"recover": "releasing", "settle": "released"},
    "released": {},
    "failed": {"message": "idle", "patch": "failed", "wake": "idle", "release": "released"},
}


@pytest.mark.parametrize("status", RoomStatus)
@pytest.mark.parametrize("verb", RoomVerb)
def test_table_says_what_the_specification_says(status: RoomStatus, verb: RoomVerb) -> None:
    """Each of the 7 x 11 cells leads where the API says, or nowhere."""
    expected = TABLE[status.value].get(verb.value)
    if expected is None:
        with pytest.raises(IllegalTransitionError):
            ROOM.after(status, verb)
    else:
        assert ROOM.after(status, verb) == expected


def test_only_released_is_terminal() -> None:
    """There is one state without a way out."""
    assert [status for status in RoomStatus if ROOM.terminal(status)] == [_S.RELEASED]


@pytest.mark.parametrize("status", [s for s in RoomStatus if s is not _S.RELEASED])
def test_every_live_state_leads_to_released(status: RoomStatus) -> None:
    """Wherever a room is, some way leads to its end."""
    reached, open_states = {status}, [status]
    while open_states:
        for following in ROOM.table[open_states.pop()].values():
            if following not in reached:
                reached.add(following)
                open_states.append(following)
    assert _S.RELEASED in reached


def test_a_miss_leaves_the_room_as_it_was() -> None:
    """A draft that moves where the table has no row raises and changes no status."""
    draft = begin(room_in(_S.RELEASED), 0)
    with pytest.raises(IllegalTransitionError):
        draft.move(_V.WAKE)
    assert draft.room.status is _S.RELEASED


@pytest.mark.parametrize("status", RoomStatus)
def test_a_decision_never_changes_the_room_it_was_given(status: RoomStatus) -> None:
    """Decisions work on copies: the room that others hold stays as it is, to the last member."""
    room = room_in(status)
    before = room.copy()
    for command in (message(50), wake(51), interrupt(52), release(53), patch(54, purpose="new")):
        asked(room, command)
    assert room == before


@pytest.mark.parametrize("status", RoomStatus)
def test_message_by_state(status: RoomStatus) -> None:
    """A message is taken in every live state, revives a failed room, and ends with release."""
    decision = asked(room_in(status), message(50))
    if status in (_S.RELEASING, _S.RELEASED):
        assert refused(decision).code == "ROOM_RELEASED"
        assert refused(decision).lasting
    else:
        following = _S.IDLE if status is _S.FAILED else status
        assert drafted(decision).room.status is following


@pytest.mark.parametrize("status", RoomStatus)
def test_wake_by_state(status: RoomStatus) -> None:
    """A wake without content leaves rested states as they are and brings the others to idle."""
    decision = asked(room_in(status), wake(50))
    if status in (_S.RELEASING, _S.RELEASED):
        assert refused(decision).code == "ROOM_RELEASED"
    else:
        following = _S.IDLE if status in (_S.FAILED, _S.SLEEPING) else status
        assert drafted(decision).room.status is following


@pytest.mark.parametrize("status", RoomStatus)
def test_patch_by_state(status: RoomStatus) -> None:
    """A patch changes no state; an ending room refuses it."""
    decision = asked(room_in(status), patch(50, purpose="new"))
    if status in (_S.RELEASING, _S.RELEASED):
        assert refused(decision).code == "ROOM_RELEASED"
    else:
        assert drafted(decision).room.status is status


@pytest.mark.parametrize("status", RoomStatus)
def test_interrupt_by_state(status: RoomStatus) -> None:
    """Only a room with a running turn can be interrupted; only released is refused for ever."""
    decision = asked(room_in(status), interrupt(50))
    if status is _S.ACTIVE:
        assert isinstance(decision, Draft)
    else:
        assert isinstance(decision, Refusal)
        assert decision.code == "ROOM_NOT_RUNNING"
        assert decision.lasting is (status in (_S.RELEASING, _S.RELEASED))


@pytest.mark.parametrize("status", RoomStatus)
def test_release_by_state(status: RoomStatus) -> None:
    """Release works from every live state and is idempotent afterwards."""
    decision = asked(room_in(status), release(50))
    if status in (_S.RELEASING, _S.RELEASED):
        undone(decision)
    else:
        following = _S.RELEASING if status is _S.ACTIVE else _S.RELEASED
        assert drafted(decision).room.status is following


def test_a_room_that_does_not_exist_refuses_everything_but_rent() -> None:
    """Without a log there is no room to speak to, and no turn."""
    for command in (message(50), wake(51), interrupt(52), release(53), patch(54)):
        assert refused(asked(None, command)).code == "ROOM_NOT_FOUND"
        assert refused(asked(None, command)).lasting
    assert rented().status is _S.RENTED
