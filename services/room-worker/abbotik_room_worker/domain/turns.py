"""Turns: beginning and steps. Every change here belongs to one lease and its epoch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from abbotik_contracts.room_log import Record
from abbotik_room_worker.domain.draft import Decision, Draft, Nothing, begin
from abbotik_room_worker.domain.due import wants_turn
from abbotik_room_worker.domain.lifecycle import RoomStatus, RoomVerb
from abbotik_room_worker.domain.room import Lease, OpenCall, Room, Turn

# Made once: that takes longer than the question which it is for.
_NUMBER = int | float


class Claim(NamedTuple):
    """Begin the turn of the first queued message under a new lease. Times in ms."""

    session: str
    turn_id: str
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Step:
    """Commit what a turn did: tool calls started or settled."""

    session: str
    epoch: int
    turn_id: str
    opened: tuple[OpenCall, ...] = ()
    arguments: Record = field(default_factory=dict)
    settled: tuple[Record, ...] = ()


def claim(room: Room, command: Claim, now: int) -> Decision:
    """Begin a turn where the room wants one."""
    if not wants_turn(room) or room.turn is not None:
        return Nothing("no turn is wanted")
    draft = begin(room, now)
    begin_turn(draft, command)
    return draft


def begin_turn(draft: Draft, command: Claim) -> None:
    """Add the beginning of the first queued message's turn to a draft."""
    room = draft.room
    trigger, *rest = room.queue
    actor = room.config.actors[0]
    agent = actor.agent_id or "assistant-1"
    if room.lease is None:
        room.epoch += 1
    room.lease = Lease(command.session, room.epoch)
    if room.status is not RoomStatus.ACTIVE:
        draft.add("room:active", {"trigger_message_id": trigger.id}, turn=command.turn_id)
    draft.move(RoomVerb.BEGIN_TURN)
    room.queue = tuple(rest)
    room.last_active_at = draft.now
    room.turn = Turn(
        id=command.turn_id,
        message_id=trigger.id,
        message_seq=trigger.seq,
        agent_id=agent,
        provider=actor.provider or "",
        model=actor.model,
        started_at=draft.now,
        deadline_at=draft.now + command.timeout_ms,
        first_event_seq=room.last_event_seq + 1,
    )
    draft.keys.append(command.turn_id)
    draft.add(
        "actor:turn_start",
        {
            "turn_id": command.turn_id,
            "message_id": trigger.id,
            "agent_id": agent,
            "provider": actor.provider or "",
            "model": actor.model,
        },
        actor=agent,
        turn=command.turn_id,
    )


def step(room: Room, command: Step, now: int) -> Decision:
    """Add the tool calls that were started and settled."""
    turn = room.turn
    if turn is None or turn.id != command.turn_id or not room.holds(command.session, command.epoch):
        return Nothing("the lease is lost", lease_lost=True)
    # A step whose commit was not heard of is decided again: what is there already stays once.
    there = {call.call_id: call for call in turn.open_calls}
    opened = tuple(
        replace(call, started_at=now) for call in command.opened if call.call_id not in there
    )
    settled = tuple(
        {**end, "duration_ms": now - there[str(end["call_id"])].started_at}
        for end in command.settled
        if end["call_id"] in there
    )
    if not opened and not settled:
        return Nothing("the step is in the log already")
    draft = begin(room, now)
    for call in opened:
        payload: Record = {
            "call_id": call.call_id,
            "name": call.name,
            "arguments": command.arguments,
        }
        draft.add("tool:start", payload, actor=turn.agent_id, turn=turn.id)
    for end in settled:
        draft.add("tool:end", end, actor=turn.agent_id, turn=turn.id)
    done = {end["call_id"] for end in settled}
    still_open = tuple(call for call in (*turn.open_calls, *opened) if call.call_id not in done)
    draft.room.turn = turn._replace(open_calls=still_open, recoveries=0)
    draft.room.usage = added(room.usage, {"tool_calls": len(settled)})
    return draft


def added(usage: Record, more: Record) -> Record:
    """Return the usage with more added to its numbers."""
    total = dict(usage)
    for name, amount in more.items():
        before = total.get(name, 0)
        if isinstance(before, _NUMBER) and isinstance(amount, _NUMBER):
            total[name] = before + amount
    return total
