"""What the API shows of a room's log: events, messages, turns, the room itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from abbotik_contracts.room_log import (
    LogEntry,
    Record,
    StoredMessage,
    StoredState,
    StoredTurn,
    first_event_seq,
)
from abbotik_kernel.chain import GENESIS_HASH
from abbotik_kernel.clock import rfc3339


def wire_event(  # noqa: PLR0913  an event is these members
    *,
    room: str,
    seq: int,
    epoch: int,
    policy_version: int,
    created_at: str,
    prev_hash: str,
    event_id: str,
    event_type: str,
    actor: str | None,
    payload: Record,
    turn: str | None,
) -> Record:
    """Return an event as the API shows it, without its `hash`, which is made over exactly this."""
    # In the order of the canonical form: what is sorted already is sorted in half the time.
    return {
        "actor_key": actor,
        "agent_key": actor,
        "created_at": created_at,
        "epoch": epoch,
        "event_type": event_type,
        "id": event_id,
        "payload": payload,
        "policy_version": policy_version,
        "prev_hash": prev_hash,
        "room_id": room,
        "seq": seq,
        "turn_id": turn,
    }


def wire_events(entry: LogEntry) -> Iterator[Record]:
    """Yield the entry's events as the API shows them, in order."""
    prev_hash = entry.get("prev_hash", GENESIS_HASH)
    state, created_at = entry["state"], rfc3339(entry["at"])
    for seq, event in enumerate(entry.get("events", ()), start=first_event_seq(entry)):
        record = wire_event(
            room=entry["room"],
            seq=seq,
            epoch=state["epoch"],
            policy_version=state["policy_version"],
            created_at=created_at,
            prev_hash=prev_hash,
            event_id=event["id"],
            event_type=event["type"],
            actor=event["actor"],
            payload=event["payload"],
            turn=event["turn"],
        )
        prev_hash = event["hash"]
        record["hash"] = prev_hash
        yield record


def message_state(message: StoredMessage, state: StoredState) -> str:
    """Return `queued`, `applied` or `withdrawn`, by the room's latest state."""
    if message["seq"] in state["withdrawn"]:
        return "withdrawn"
    queued = any(trigger["seq"] == message["seq"] for trigger in state["queue"])
    return "queued" if queued else "applied"


def message_record(
    room: str, message: StoredMessage, at: int, state: str, turn_id: str | None
) -> Record:
    """Return a message as the API shows it; ``at`` is its entry's time in ms."""
    content = message["content"]
    record: Record = {
        "id": message["id"],
        "room_id": room,
        "actor_key": message["actor"],
        "agent_key": message["actor"],
        "author_kind": message["author"],
        "kind": message["kind"],
        "content": content,
        "metadata": message["metadata"],
        "seq": message["seq"],
        "created_at": rfc3339(at),
        "state": state,
        "turn_id": message["turn"] or turn_id,
    }
    if isinstance(content, list):
        record["content_blocks"] = content
    return record


def running_turn(state: StoredState) -> StoredTurn | None:
    """Return the turn that runs, in the form of one that has ended; None where none does."""
    if state["turn"] is None:
        return None
    turn = cast("StoredTurn", state["turn"])  # it has these members of one, and others
    return {
        "id": turn["id"],
        "message_id": turn["message_id"],
        "message_seq": turn["message_seq"],
        "agent_id": turn["agent_id"],
        "provider": turn["provider"],
        "model": turn["model"],
        "status": "running",
        "started_at": turn["started_at"],
        "ended_at": None,
        "usage": {},
        "steps": [],
        "context": {},
        "error": None,
    }


def turn_record(room: str, turn: StoredTurn) -> Record:
    """Return a turn as the API shows it."""
    ended = turn["ended_at"]
    return {
        "id": turn["id"],
        "turn_id": turn["id"],
        "room_id": room,
        "message_id": turn["message_id"],
        "agent_id": turn["agent_id"],
        "provider": turn["provider"],
        "model": turn["model"],
        "status": turn["status"],
        "started_at": rfc3339(turn["started_at"]),
        "ended_at": None if ended is None else rfc3339(ended),
        "usage": turn["usage"],
        "steps": list(turn["steps"]),
        "context": turn["context"],
        "error": turn["error"],
    }


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def _current_turn(turn: Record | None) -> Record | None:
    if turn is None:
        return None
    started_at = turn["started_at"]
    return {
        "turn_id": turn["id"],
        "message_id": turn["message_id"],
        "agent_id": turn["agent_id"],
        "started_at": _time(started_at if isinstance(started_at, int) else None),
    }


def room_record(
    tenant: str, room: str, state: StoredState, config: Record, warnings: Sequence[str] = ()
) -> Record:
    """Return a room as the API shows it."""
    record: Record = {
        "id": room,
        "tenant_id": tenant,
        "status": state["status"],
        "rented_by": state["rented_by"],
        "rented_at": rfc3339(state["rented_at"]),
        "released_at": _time(state["released_at"]),
        "last_active_at": rfc3339(state["last_active_at"]),
        **config,
        "result": state["result"],
        "last_error": state["last_error"],
        "current_turn": _current_turn(state["turn"]),
        "queue_depth": len(state["queue"]),
        "last_event_seq": state["last_event_seq"],
        "last_message_seq": state["last_message_seq"],
        "policy_version": state["policy_version"],
        "next_wakes": [rfc3339(at) for at in state["wakes"]],
        "usage": state["usage"],
    }
    if warnings:
        record["warnings"] = list(warnings)
    return record
