"""The end of a turn, decided: output, idle, the next message, failure."""

from __future__ import annotations

from typing import Any

import pytest

from abbotik_contracts.room_log import INLINE_BYTES, Record
from abbotik_room_worker.domain.draft import begin
from abbotik_room_worker.domain.ending import end_turn
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.room import Lease, OpenCall, Room, Trigger
from abbotik_room_worker.domain.turns import Step, added
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
    message,
    patch,
    payload,
    releasing,
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


def test_good_end_gives_idle() -> None:
    """Output, end and idle are one commit; the turn is stored as it ended."""
    room = active()
    usage: Record = {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5, "cost": 0.25}
    steps: tuple[Record, ...] = ({"kind": "tool"},)
    command = finish(room, usage=usage, steps=steps, context={"message_seqs": [1]})
    draft = drafted(held(room, command, T0 + 9))
    assert types(draft) == ["actor:output", "actor:turn_end", "room:idle"]
    assert payload(draft, "actor:output") == {"message_id": uid(990), "text": "answer"}
    assert payload(draft, "actor:turn_end") == {
        "turn_id": TURN,
        "message_id": uid(2),
        "status": "completed",
        "usage": usage,
    }
    assert payload(draft, "room:idle") == {"reason": "drained"}
    assert draft.keys == [uid(990)]
    output = draft.messages[0]
    assert (output["author"], output["kind"], output["seq"]) == ("agent", "output", 2)
    assert (output["turn"], output["content"], output["metadata"]) == (TURN, "answer", {})
    (turn,) = draft.turns
    assert (turn["status"], turn["ended_at"], turn["error"]) == ("completed", T0 + 9, None)
    assert (turn["usage"], turn["steps"]) == (usage, [{"kind": "tool"}])
    after_it = draft.room
    assert (after_it.status, after_it.turn, after_it.lease) == (RoomStatus.IDLE, None, None)
    assert after_it.usage == {**usage, "turns": 1, "tool_calls": 0}
    assert after_it.idle_since == T0 + 9


def test_end_goes_on_with_the_next_message() -> None:
    """While messages wait the room stays active, under the same lease, with a next turn."""
    room = after(asked(active(), message(3)))
    draft = drafted(held(room, finish(room, next_claim=claim(turn=uid(901)))))
    assert types(draft) == ["actor:output", "actor:turn_end", "actor:turn_start"]
    assert draft.room.status is RoomStatus.ACTIVE
    assert draft.room.lease == Lease("w1", 1)
    assert draft.room.turn is not None
    assert (draft.room.turn.id, draft.room.turn.message_id) == (uid(901), uid(3))
    assert [(turn["id"], turn["status"]) for turn in draft.turns] == [(TURN, "completed")]
    assert draft.keys == [uid(990), uid(901)]


def test_end_of_a_draining_worker_leaves_the_queue_to_others() -> None:
    """Without a next claim the room is idle and wants a turn."""
    room = after(asked(active(), message(3)))
    draft = drafted(held(room, finish(room)))
    assert draft.room.status is RoomStatus.IDLE
    assert draft.room.queue == (Trigger(2, uid(3)),)


def test_end_in_a_room_that_became_explicit_leaves_the_queue_waiting() -> None:
    """A patch takes effect at the next turn: what waits then needs a wake."""
    room = after(asked(active(), patch(5, wake_policy={"mode": "explicit"})))
    room = after(asked(room, message(3)))
    draft = drafted(held(room, finish(room, next_claim=claim(turn=uid(901)))))
    assert draft.room.status is RoomStatus.IDLE
    assert draft.room.turn is None
    assert draft.room.queue == (Trigger(2, uid(3)),)


def test_end_without_anything_waiting_claims_nothing() -> None:
    """A next claim with an empty queue leads to idle like any end."""
    room = active()
    assert types(held(room, finish(room, next_claim=claim(turn=uid(901)))))[-1] == "room:idle"


def test_failed_turn_fails_the_room_and_keeps_the_queue() -> None:
    """The error is readable, its event says where the room is, and nothing else is lost."""
    room = after(asked(active(), message(3)))
    command = finish(room, "failed", output=None, error_code="BOOM", error_message="it broke")
    draft = drafted(held(room, command))
    assert types(draft) == ["error", "actor:turn_end"]
    assert payload(draft, "error") == {
        "code": "BOOM",
        "message": "it broke",
        "turn_id": TURN,
        "room_status": "failed",
    }
    assert draft.room.status is RoomStatus.FAILED
    assert draft.room.queue == (Trigger(2, uid(3)),)
    assert draft.room.last_error == {
        "code": "BOOM",
        "message": "it broke",
        "turn_id": TURN,
        "at": "2026-01-31T09:30:00.000Z",
    }
    assert draft.turns[0]["error"] == {"code": "BOOM", "message": "it broke"}


def test_turn_that_fails_while_releasing_says_so_and_ends_the_room() -> None:
    """The error names the state that the room is in: it does not become failed."""
    room = releasing()
    draft = drafted(held(room, finish(room, "failed", output=None, error_code="BOOM")))
    assert types(draft) == ["error", "actor:turn_end", "room:released"]
    assert payload(draft, "error")["room_status"] == "releasing"
    assert draft.room.status is RoomStatus.RELEASED


def test_failed_turn_does_not_go_on() -> None:
    """A next claim of a failed turn is not taken."""
    room = after(asked(active(), message(3)))
    draft = drafted(held(room, finish(room, "failed", next_claim=claim(turn=uid(901)))))
    assert draft.room.turn is None


def test_last_error_stays_until_the_next_good_turn() -> None:
    """An interrupted turn keeps the error readable, a completed one clears it."""
    running = after(asked(failed(), message(3), begin=claim(turn=uid(901))))
    assert running.last_error is not None
    stopped = after(held(running, finish(running, "interrupted")))
    assert stopped.last_error is not None
    assert after(held(running, finish(running))).last_error is None


def test_interrupted_turn_keeps_what_it_had_said() -> None:
    """The partial text is an output that says so, and open calls are closed with a result."""
    room = after(held(active(), _opened(active(), CALL)))
    command = finish(room, "interrupted", output="half", idle_reason="interrupted")
    draft = drafted(held(room, command, T0 + 40))
    assert types(draft) == ["tool:end", "actor:output", "actor:turn_end", "room:idle"]
    assert payload(draft, "tool:end") == {
        "call_id": "call-1",
        "name": "echo",
        "status": "interrupted",
        "error": {"code": "TURN_ENDED", "message": "the turn ended before the tool did"},
        "duration_ms": 40,
    }
    assert draft.messages[0]["metadata"] == {"interrupted": True}
    assert draft.messages[0]["content"] == "half"
    assert payload(draft, "room:idle") == {"reason": "interrupted"}


def test_open_call_of_a_turn_that_was_not_interrupted_is_unknown() -> None:
    """A turn that failed with a call open cannot say what became of it."""
    room = after(held(active(), _opened(active(), CALL)))
    draft = drafted(held(room, finish(room, "failed", output=None)))
    assert payload(draft, "tool:end")["status"] == "unknown"


@pytest.mark.parametrize(
    "wrong", [{"session": "w2"}, {"epoch": 2}, {"epoch": 0}, {"turn_id": uid(901)}]
)
def test_end_by_anyone_but_the_holder_is_dropped(wrong: dict[str, Any]) -> None:
    """Another session, another epoch, another turn: the lease is lost."""
    room = active()
    assert undone(held(room, finish(room, **wrong))).lease_lost


def test_end_that_is_decided_twice_is_dropped_the_second_time() -> None:
    """A finish whose commit was not heard of finds no turn any more."""
    room = active()
    assert undone(held(after(held(room, finish(room))), finish(room))).lease_lost


@pytest.mark.parametrize("text", ["x" * INLINE_BYTES, "é" * (INLINE_BYTES // 2)])
def test_output_of_the_inline_size_is_whole(text: str) -> None:
    """64 KiB, counted in bytes, are shown whole."""
    room = active()
    shown = payload(held(room, finish(room, output=text)), "actor:output")
    assert shown == {"message_id": uid(990), "text": text}


@pytest.mark.parametrize(
    "text", ["x" * (INLINE_BYTES + 1), "é" * (INLINE_BYTES // 2) + "x", "€" * INLINE_BYTES]
)
def test_larger_output_is_cut_in_its_event_and_stored_apart(text: str) -> None:
    """The event shows what fits, cut between characters; the message names the blob."""
    room = active()
    draft = drafted(held(room, finish(room, output=text, output_blob="d" * 64)))
    shown = payload(draft, "actor:output")
    assert shown["truncated"] is True
    assert isinstance(shown["text"], str)
    assert text.startswith(shown["text"])
    assert INLINE_BYTES - 4 < len(shown["text"].encode()) <= INLINE_BYTES
    assert (draft.messages[0]["content"], draft.messages[0]["blob"]) == ("", "d" * 64)


def test_ending_without_a_turn_is_a_fault_of_the_caller() -> None:
    """The building block refuses a draft that has no turn."""
    with pytest.raises(ValueError, match="has none to end"):
        end_turn(begin(idle(), T0), finish(active()))


def test_usage_adds_numbers_only() -> None:
    """Numbers are summed, new ones begin at zero, other values stay out."""
    assert added({"a": 1, "b": 2}, {"a": 2, "c": 0.5, "b": "x"}) == {"a": 3, "b": 2, "c": 0.5}
