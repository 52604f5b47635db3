"""Turns: claims and steps, decided."""

from __future__ import annotations

from dataclasses import replace

import pytest

from abbotik_contracts.policies import Actor
from abbotik_contracts.room_log import Record
from abbotik_room_worker.domain.room import Lease, OpenCall, Room, Trigger
from abbotik_room_worker.domain.turns import Step
from tests.unit.room_worker.rooms import (
    T0,
    TIMEOUT_MS,
    TURN,
    active,
    after,
    asked,
    claim,
    drafted,
    failed,
    held,
    idle,
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


def _opened(room: Room, *calls: OpenCall) -> Step:
    assert room.turn is not None
    assert room.lease is not None
    return Step(
        room.lease.session, room.lease.epoch, room.turn.id, opened=calls, arguments={"a": 1}
    )


def _settled(room: Room, *ids: str) -> Step:
    assert room.turn is not None
    assert room.lease is not None
    ends: tuple[Record, ...] = tuple({"call_id": call_id, "status": "completed"} for call_id in ids)
    return Step(room.lease.session, room.lease.epoch, room.turn.id, settled=ends)


def test_claim_begins_the_first_message_that_waits() -> None:
    """The turn has its message, its actor, its deadline, a lease of the next epoch."""
    room = after(asked(rented(actors=[Actor(agent_id="critic", model="m")]), message(2)))
    room = after(asked(room, message(3)))
    draft = drafted(held(room, claim("w2"), T0 + 10))
    assert types(draft) == ["room:active", "actor:turn_start"]
    assert payload(draft, "room:active") == {"trigger_message_id": uid(2)}
    assert payload(draft, "actor:turn_start") == {
        "turn_id": TURN,
        "message_id": uid(2),
        "agent_id": "critic",
        "provider": "scripted",
        "model": "m",
    }
    assert draft.keys == [TURN]
    assert draft.turns == []
    assert draft.room.queue == (Trigger(2, uid(3)),)
    assert draft.room.lease == Lease("w2", 1)
    assert draft.room.epoch == 1
    turn = draft.room.turn
    assert turn is not None
    assert (turn.started_at, turn.deadline_at) == (T0 + 10, T0 + 10 + TIMEOUT_MS)
    assert turn.first_event_seq == draft.room.last_event_seq


@pytest.mark.parametrize(
    "room", [rented(), idle(), sleeping(), active(), releasing(), released(), failed()]
)
def test_claim_of_a_room_that_wants_no_turn_does_nothing(room: Room) -> None:
    """Nothing waits, or somebody has it, or it is over."""
    assert not undone(held(room, claim("w2", uid(901)))).lease_lost


def test_each_new_lease_has_the_next_epoch() -> None:
    """Turns after a rest never share an epoch with those before it."""
    room = after(asked(idle(), message(3)))
    assert after(held(room, claim("w2", uid(901)))).epoch == 2


def test_step_opens_and_settles_calls() -> None:
    """A call is open from its start to its end, and counted at its end."""
    opened = drafted(held(active(), _opened(active(), CALL)))
    assert types(opened) == ["tool:start"]
    assert payload(opened, "tool:start") == {
        "call_id": "call-1",
        "name": "echo",
        "arguments": {"a": 1},
    }
    room = opened.room
    assert room.turn is not None
    assert room.turn.open_calls == (replace(CALL, started_at=T0),)
    settled = drafted(held(room, _settled(room, "call-1"), T0 + 250))
    assert types(settled) == ["tool:end"]
    assert payload(settled, "tool:end")["duration_ms"] == 250
    assert settled.room.turn is not None
    assert settled.room.turn.open_calls == ()
    assert settled.room.usage["tool_calls"] == 1


def test_step_is_idempotent() -> None:
    """A step whose commit was not heard of is decided again and stays once."""
    room = after(held(active(), _opened(active(), CALL)))
    assert not undone(held(room, _opened(room, CALL))).lease_lost
    second = OpenCall("call-2", "echo", idempotent=True)
    both = drafted(held(room, _opened(room, CALL, second)))
    assert payload(both, "tool:start")["call_id"] == "call-2"
    room = after(held(room, _settled(room, "call-1")))
    assert not undone(held(room, _settled(room, "call-1"))).lease_lost


def test_call_that_was_never_opened_is_not_settled() -> None:
    """An end without a start does not reach the log."""
    undone(held(active(), _settled(active(), "call-9")))


def test_step_of_anyone_but_the_holder_is_dropped() -> None:
    """Another session, another epoch, another turn: the lease is lost."""
    room = active()
    for step in (
        Step("w2", 1, TURN, opened=(CALL,)),
        Step("w1", 2, TURN, opened=(CALL,)),
        Step("w1", 1, uid(901), opened=(CALL,)),
    ):
        assert undone(held(room, step)).lease_lost
    assert undone(held(idle(), Step("w1", 1, TURN, opened=(CALL,)))).lease_lost
