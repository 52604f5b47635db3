"""From a decision to a log entry: ids and hashes for its events, and their wire form."""

from __future__ import annotations

from typing import NamedTuple

from abbotik_contracts.room_log import LogEntry, StoredEvent, entry_id
from abbotik_contracts.room_views import wire_event
from abbotik_kernel.clock import rfc3339
from abbotik_room_worker.domain.draft import Draft, Refusal
from abbotik_room_worker.domain.room import Room
from abbotik_runtime.canonical import hashed
from abbotik_runtime.ids import uuid7


class Sealed(NamedTuple):
    """An entry to append, the room after it, and its events as followers get them, a line each."""

    room: Room
    entry: LogEntry
    lines: list[bytes]


def seal(draft: Draft, session: str, counter: int) -> Sealed:
    """Give the draft its place in the log: the next rev, the hash chain, the token."""
    room = draft.room
    room.rev += 1
    room.at = draft.now
    if draft.config_changed:
        room.config_rev = room.rev
    prev_hash = room.hash
    events, lines = _chain(draft)
    entry = _bare(room, draft.now, session, counter)
    if events:
        entry["prev_hash"] = prev_hash
        entry["events"] = events
    if draft.messages:
        entry["messages"] = draft.messages
    if draft.turns:
        entry["turns"] = draft.turns
    if draft.keys:
        entry["keys"] = draft.keys
    if draft.answer is not None:
        entry["answer"] = draft.answer
    if draft.config_changed:
        entry["config"] = room.config_record
    return Sealed(room, entry, lines)


def seal_refusal(
    room: Room, refusal: Refusal, command_id: str, now: int, session: str, counter: int
) -> Sealed:
    """Return the entry that remembers a refusal, so that it stays one. It has no events."""
    after = room.copy()
    after.rev += 1
    after.at = now
    entry = _bare(after, now, session, counter)
    entry["keys"] = [command_id]
    entry["answer"] = {
        "kind": "refusal",
        "code": refusal.code,
        "detail": refusal.detail,
        "extra": refusal.extra,
    }
    return Sealed(after, entry, [])


def _bare(room: Room, now: int, session: str, counter: int) -> LogEntry:
    return {
        "_id": entry_id(room.id, room.rev),
        "tenant": room.tenant,
        "room": room.id,
        "rev": room.rev,
        "session": session,
        "counter": counter,
        "at": now,
        "last_event_seq": room.last_event_seq,
        "last_message_seq": room.last_message_seq,
        "state": room.to_state(),
    }


def _chain(draft: Draft) -> tuple[list[StoredEvent], list[bytes]]:
    room = draft.room
    first = room.last_event_seq - len(draft.events) + 1
    created_at = rfc3339(draft.now)
    events: list[StoredEvent] = []
    lines: list[bytes] = []
    for seq, event in enumerate(draft.events, start=first):
        event_id = uuid7()
        digest, line = hashed(
            wire_event(
                room=room.id,
                seq=seq,
                epoch=room.epoch,
                policy_version=room.policy_version,
                created_at=created_at,
                prev_hash=room.hash,
                event_id=event_id,
                event_type=event.type,
                actor=event.actor,
                payload=event.payload,
                turn=event.turn,
            )
        )
        room.hash = digest
        lines.append(line)
        events.append(
            {
                "id": event_id,
                "type": event.type,
                "actor": event.actor,
                "payload": event.payload,
                "turn": event.turn,
                "hash": digest,
            }
        )
    return events, lines
