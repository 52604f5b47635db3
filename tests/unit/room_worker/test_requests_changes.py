"""Interrupts, releases and patches, decided."""

from __future__ import annotations

from typing import Any

import pytest

from abbotik_contracts.policies import Actor, WakePolicy
from abbotik_contracts.room_config import MAX_CONFIG_BYTES
from abbotik_room_worker.domain.due import due_at
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.room import Interrupt, Lease, Releasing, Room, Trigger
from abbotik_room_worker.domain.takeover import HandOver
from tests.unit.room_worker.rooms import (
    ROOM,
    T0,
    TURN,
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
    refused,
    release,
    released,
    rented,
    sleeping,
    types,
    uid,
    undone,
)


def _stop(room: Room) -> Interrupt | None:
    assert room.turn is not None
    return room.turn.interrupt


@pytest.mark.parametrize(
    ("body", "mode", "wait_ms"),
    [
        ({}, "hard", 5_000),
        ({"mode": "soft"}, "soft", 30_000),
        ({"mode": "soft", "deadline_ms": 0}, "soft", 0),
        ({"mode": "hard", "deadline_ms": 700}, "hard", 700),
        ({"turn_id": TURN}, "hard", 5_000),
    ],
)
def test_interrupt_notes_its_mode_and_deadline(
    body: dict[str, Any], mode: str, wait_ms: int
) -> None:
    """The request is committed without an event and has a deadline, its own or the default."""
    draft = drafted(asked(active(), interrupt(5, **body)))
    assert draft.events == []
    assert draft.keys == [uid(5)]
    assert draft.answer == {"kind": "interrupt"}
    assert _stop(draft.room) == Interrupt(mode, T0 + wait_ms)
    assert draft.room.status is RoomStatus.ACTIVE
    assert due_at(draft.room) == T0 + wait_ms


@pytest.mark.parametrize("room", [rented(), idle(), sleeping(), failed()])
def test_interrupt_without_a_turn_is_refused(room: Room) -> None:
    """No turn runs; a later state could run one, so the refusal is remembered."""
    refusal = refused(asked(room, interrupt(5)))
    assert (refusal.code, refusal.lasting) == ("ROOM_NOT_RUNNING", False)


def test_interrupt_of_another_turn_is_refused() -> None:
    """A turn that is named and is not the running one is left alone, and so is the running one."""
    assert refused(asked(active(), interrupt(5, turn_id=uid(1)))).code == "ROOM_NOT_RUNNING"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("soft", 1_000), ("hard", 9_000), ("hard", 1_000)),
        (("hard", 9_000), ("soft", 1_000), ("hard", 1_000)),
        (("soft", 9_000), ("soft", 1_000), ("soft", 1_000)),
        (("hard", 1_000), ("hard", 9_000), ("hard", 1_000)),
    ],
)
def test_stronger_mode_and_earlier_deadline_win(
    first: tuple[str, int], second: tuple[str, int], expected: tuple[str, int]
) -> None:
    """A second interrupt never makes the first one weaker or later."""
    room = after(asked(active(), interrupt(5, mode=first[0], deadline_ms=first[1])))
    room = after(asked(room, interrupt(6, mode=second[0], deadline_ms=second[1])))
    assert _stop(room) == Interrupt(expected[0], T0 + expected[1])


def test_interrupt_of_a_turn_that_was_handed_over_is_noted() -> None:
    """A turn without a holder can be told to stop; whoever takes it over ends it."""
    handed = after(held(active(), HandOver("w1", 1)))
    assert _stop(after(asked(handed, interrupt(5)))) == Interrupt("hard", T0 + 5_000)


def test_release_of_a_resting_room_is_at_once() -> None:
    """The room is released, with its result and the account of what it used."""
    room = idle()
    draft = drafted(asked(room, release(5, result={"sum": 3}, reason="done"), T0 + 7))
    assert types(draft) == ["room:released"]
    assert payload(draft, "room:released") == {"settlement": room.usage, "reason": "done"}
    assert draft.answer == {"kind": "room"}
    assert draft.room.result == {"sum": 3}
    assert draft.room.released_at == T0 + 7
    assert draft.room.status is RoomStatus.RELEASED


def test_release_withdraws_the_queue() -> None:
    """Messages that wait are withdrawn, each with its event, before the room is released."""
    room = after(asked(after(asked(rented(), message(2))), message(3)))
    draft = drafted(asked(room, release(5)))
    assert types(draft) == ["message:withdrawn", "message:withdrawn", "room:released"]
    assert [event.payload for event in draft.events[:2]] == [
        {"message_id": uid(2), "seq": 1},
        {"message_id": uid(3), "seq": 2},
    ]
    assert draft.room.queue == ()
    assert draft.room.withdrawn == (1, 2)


def test_release_of_a_running_room_waits_for_the_turn() -> None:
    """The turn is told to stop at once; until it has, the room is releasing, with a deadline."""
    room = after(asked(active(), message(3)))
    draft = drafted(asked(room, release(5, result=1, reason="r")))
    assert types(draft) == ["message:withdrawn", "room:releasing"]
    assert payload(draft, "room:releasing") == {"reason": "r"}
    assert draft.room.status is RoomStatus.RELEASING
    assert draft.room.releasing == Releasing(1, "r", T0 + 10_000)
    assert _stop(draft.room) == Interrupt("hard", T0 + 10_000)
    assert draft.room.lease == Lease("w1", 1)
    assert draft.room.released_at is None


def test_release_makes_a_soft_interrupt_hard() -> None:
    """Whoever waited for the step is not waited for any more; the earlier deadline stays."""
    room = after(asked(active(), interrupt(5, mode="soft", deadline_ms=2_000)))
    room = after(asked(room, release(6)))
    assert _stop(room) == Interrupt("hard", T0 + 2_000)
    assert due_at(room) == T0 + 2_000


@pytest.mark.parametrize("room", [released(), after(asked(active(), release(3)))])
def test_release_is_idempotent(room: Room) -> None:
    """A second release does nothing and is told how the room is."""
    undone(asked(room, release(5, result="other")))


def test_turn_that_ends_while_releasing_ends_the_room() -> None:
    """The end of the turn is also the end of the room, with the first release's result."""
    room = after(asked(active(), release(5, result="r", reason="why")))
    draft = drafted(held(room, finish(room, "interrupted"), T0 + 9))
    assert types(draft) == ["actor:output", "actor:turn_end", "room:released"]
    assert payload(draft, "room:released")["reason"] == "why"
    assert draft.room.status is RoomStatus.RELEASED
    assert (draft.room.result, draft.room.released_at) == ("r", T0 + 9)
    assert (draft.room.lease, draft.room.turn, draft.room.releasing) == (None, None, None)
    assert due_at(draft.room) is None


def test_patch_merges_and_counts_the_version() -> None:
    """Members of the patch replace, nested ones merge, and the version goes up by one."""
    room = rented(purpose="old", metadata={"a": 1, "b": {"c": 2}})
    draft = drafted(asked(room, patch(5, purpose="new", metadata={"b": {"d": 3}})))
    assert draft.events == []
    assert draft.keys == [uid(5)]
    assert draft.answer == {"kind": "room"}
    assert draft.config_changed
    assert draft.room.policy_version == 2
    assert draft.room.config.purpose == "new"
    assert draft.room.config_record["metadata"] == {"a": 1, "b": {"c": 2, "d": 3}}
    assert room.policy_version == 1


def test_null_resets_to_the_default() -> None:
    """A member that is null is as if it had never been given, in nested policies too."""
    room = rented(
        purpose="old",
        actors=[Actor(agent_id="critic")],
        wake_policy=WakePolicy(mode="explicit", sleep_after_s=5),
    )
    changed = after(asked(room, patch(5, purpose=None, actors=None, wake_policy={"mode": None})))
    assert changed.config.purpose == ""
    assert changed.config.actors[0].agent_id == "assistant-1"
    assert changed.config.wake_policy == WakePolicy(sleep_after_s=5)


@pytest.mark.parametrize("wanted", [None, 1])
def test_patch_with_the_right_version_is_taken(wanted: int | None) -> None:
    """Without `If-Match`, or with the version that the room has, the patch is carried out."""
    assert after(asked(rented(), patch(5, if_match=wanted, purpose="new"))).policy_version == 2


def test_patch_with_another_version_is_refused() -> None:
    """Another version means that the caller has not seen the room as it is."""
    refusal = refused(asked(rented(), patch(5, if_match=2, purpose="new")))
    assert (refusal.code, refusal.lasting) == ("PRECONDITION_FAILED", False)


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"purpose": 7}, "/purpose"),
        ({"purpose": "x" * 5_000}, "/purpose"),
        ({"strange": 1}, "/strange"),
        ({"wake_policy": {"sleep_after_s": -1}}, "/wake_policy/sleep_after_s"),
        ({"wake_policy": "explicit"}, "/wake_policy"),
        ({"actors": [{"agent_id": "twin"}, {"agent_id": "twin"}]}, "/actors"),
        ({"actors": [{}, {"agent_id": "assistant-1"}]}, "/actors"),
        ({"metadata": {"big": "x" * MAX_CONFIG_BYTES}}, ""),
    ],
)
def test_wrong_patch_is_refused_with_its_pointer(members: dict[str, Any], pointer: str) -> None:
    """What would make the room wrong changes nothing and says where."""
    refusal = refused(asked(rented(), patch(5, **members)))
    assert refusal.code == "VALIDATION_FAILED"
    errors = refusal.extra["errors"]
    assert isinstance(errors, list)
    assert [error["pointer"] for error in errors if isinstance(error, dict)] == [pointer]


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"turn_policy": {"mode": "coordinator"}}, "/turn_policy/mode"),
        ({"done_policy": {"mode": "on_idle"}}, "/done_policy/mode"),
        ({"tool_policy": {"approval": {"echo": "always"}}}, "/tool_policy/approval/echo"),
        ({"mcp_servers": [{"url": "x"}]}, "/mcp_servers"),
    ],
)
def test_mechanism_that_is_not_built_is_refused(members: dict[str, Any], pointer: str) -> None:
    """A policy without a mechanism is never stored and ignored."""
    refusal = refused(asked(rented(), patch(5, **members)))
    assert refusal.code == "POLICY_NOT_SUPPORTED"
    assert refusal.extra == {
        "errors": [{"pointer": pointer, "message": "this mechanism is not built yet"}]
    }


@pytest.mark.parametrize(
    "members",
    [{}, {"purpose": "same"}, {"metadata": {"absent": None}}, {"purpose": "same", "actors": None}],
)
def test_patch_that_changes_nothing_is_only_remembered(members: dict[str, Any]) -> None:
    """The same configuration is no new version, but a redelivery must not change it later."""
    draft = drafted(asked(rented(purpose="same"), patch(5, **members)))
    assert (draft.keys, draft.answer, draft.events) == ([uid(5)], {"kind": "room"}, [])
    assert not draft.config_changed
    assert draft.room == rented(purpose="same")


def test_turn_that_runs_keeps_its_actor() -> None:
    """A patch takes effect at the next turn: the running one is as it began."""
    room = after(asked(active(), patch(5, actors=[{"agent_id": "critic"}])))
    assert room.turn is not None
    assert room.turn.agent_id == "assistant-1"
    assert (room.id, room.queue) == (ROOM, ())
    room = after(asked(room, message(3)))
    assert room.queue == (Trigger(2, uid(3)),)
