"""The end of a turn, and where it leads the room: the next message, idle, failed, released."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from abbotik_contracts.room_log import INLINE_BYTES, Record, StoredTurn
from abbotik_kernel.clock import rfc3339
from abbotik_room_worker.domain.draft import Decision, Draft, Nothing, begin
from abbotik_room_worker.domain.due import wants_turn
from abbotik_room_worker.domain.lifecycle import RoomStatus, RoomVerb
from abbotik_room_worker.domain.room import Room, Turn
from abbotik_room_worker.domain.turns import Claim, added, begin_turn


# Not frozen: each of its many members would be set by a call, at the end of each turn.
@dataclass(slots=True)
class Finish:
    """End the turn. ``next_claim`` goes on with the next message in the same commit."""

    session: str
    epoch: int
    turn_id: str
    status: Literal["completed", "failed", "interrupted"]
    output_id: str
    output: str | None = None
    output_blob: str | None = None
    usage: Record = field(default_factory=dict)
    steps: tuple[Record, ...] = ()
    context: Record = field(default_factory=dict)
    error_code: str | None = None
    error_message: str = ""
    idle_reason: str = "drained"
    next_claim: Claim | None = None


def finish(room: Room, command: Finish, now: int) -> Decision:
    """End the turn and go on: the next message, idle, failed, or released."""
    turn = room.turn
    if turn is None or turn.id != command.turn_id or not room.holds(command.session, command.epoch):
        return Nothing("the lease is lost", lease_lost=True)
    draft = begin(room, now)
    end_turn(draft, command)
    go_on(draft, command)
    return draft


def end_turn(draft: Draft, command: Finish) -> None:
    """Add the end of the running turn to a draft: open calls, output, `actor:turn_end`."""
    room = draft.room
    turn = room.turn
    if turn is None:
        raise ValueError("a draft without a turn has none to end")
    for call in turn.open_calls:
        closed: Record = {
            "call_id": call.call_id,
            "name": call.name,
            "status": "interrupted" if command.status == "interrupted" else "unknown",
            "error": {"code": "TURN_ENDED", "message": "the turn ended before the tool did"},
            "duration_ms": draft.now - call.started_at,
        }
        draft.add("tool:end", closed, actor=turn.agent_id, turn=turn.id)
    if command.output is not None:
        _say_output(draft, turn, command)
    room.usage = added(room.usage, {**command.usage, "turns": 1})
    draft.turns.append(_ended(turn, draft.now, command))
    if command.status == "failed":
        # Before the turn's end, so that who follows this turn alone sees why it failed.
        _report(draft, command)
    end: Record = {
        "turn_id": turn.id,
        "message_id": turn.message_id,
        "status": command.status,
        "usage": command.usage,
    }
    draft.add("actor:turn_end", end, actor=turn.agent_id, turn=turn.id)
    room.turn = None
    room.last_active_at = draft.now
    if command.status == "completed":
        room.last_error = None


def go_on(draft: Draft, command: Finish) -> None:
    """Lead a room whose turn just ended to its next state."""
    room = draft.room
    if room.status is RoomStatus.RELEASING:
        settle(draft)
    elif command.status == "failed":
        _fail(draft, command)
    elif command.next_claim is not None and wants_turn(room):
        begin_turn(draft, command.next_claim)
    else:
        yields = command.idle_reason == "drained" and wants_turn(room)
        _drain(draft, "yielded" if yields else command.idle_reason)


def settle(draft: Draft) -> None:
    """End a releasing room: it is released, with the account of what it used."""
    room = draft.room
    releasing = room.releasing
    draft.move(RoomVerb.SETTLE)
    room.lease = None
    room.releasing = None
    room.released_at = draft.now
    if releasing is not None:
        room.result = releasing.result
    draft.add(
        "room:released",
        {
            "settlement": dict(room.usage),
            "reason": releasing.reason if releasing is not None else None,
        },
    )


def _say_output(draft: Draft, turn: Turn, command: Finish) -> None:
    text = command.output or ""
    metadata: Record = {"interrupted": True} if command.status == "interrupted" else {}
    shown = text.encode()[:INLINE_BYTES].decode(errors="ignore")
    payload: Record = {"message_id": command.output_id, "text": shown}
    if len(shown) < len(text) or command.output_blob is not None:
        payload["truncated"] = True
    draft.say(
        {
            "id": command.output_id,
            "seq": draft.room.last_message_seq + 1,
            "actor": turn.agent_id,
            "author": "agent",
            "kind": "output",
            "content": "" if command.output_blob is not None else text,
            "blob": command.output_blob,
            "metadata": metadata,
            "turn": turn.id,
        }
    )
    draft.keys.append(command.output_id)
    draft.add("actor:output", payload, actor=turn.agent_id, turn=turn.id)


def _report(draft: Draft, command: Finish) -> None:
    ending = draft.room.status is RoomStatus.RELEASING
    status = RoomStatus.RELEASING if ending else RoomStatus.FAILED
    error: Record = {
        "code": command.error_code or "EXECUTOR_FAILED",
        "message": command.error_message,
        "turn_id": command.turn_id,
        "room_status": status.value,
    }
    draft.add("error", error, turn=command.turn_id)


def _fail(draft: Draft, command: Finish) -> None:
    room = draft.room
    draft.move(RoomVerb.FAIL)
    room.lease = None
    room.woken = False
    room.last_error = {
        "code": command.error_code or "EXECUTOR_FAILED",
        "message": command.error_message,
        "turn_id": command.turn_id,
        "at": rfc3339(draft.now),
    }


def _drain(draft: Draft, reason: str) -> None:
    room = draft.room
    draft.move(RoomVerb.DRAIN)
    room.lease = None
    room.idle_since = draft.now
    if not room.queue:
        room.woken = False
    draft.add("room:idle", {"reason": reason})


def _ended(turn: Turn, now: int, command: Finish) -> StoredTurn:
    failed = command.status == "failed"
    return {
        "id": turn.id,
        "message_id": turn.message_id,
        "message_seq": turn.message_seq,
        "agent_id": turn.agent_id,
        "provider": turn.provider,
        "model": turn.model,
        "status": command.status,
        "started_at": turn.started_at,
        "ended_at": now,
        "usage": command.usage,
        "steps": list(command.steps),
        "context": command.context,
        "error": {"code": command.error_code, "message": command.error_message} if failed else None,
    }
