"""Messages into a room's queue, and what they bring: a room that rests wakes, its turn begins."""

from __future__ import annotations

from pydantic import JsonValue

from abbotik_contracts.room_bodies import Content, MessageBody
from abbotik_room_worker.domain.draft import Draft
from abbotik_room_worker.domain.due import wants_turn
from abbotik_room_worker.domain.lifecycle import RoomStatus, RoomVerb
from abbotik_room_worker.domain.room import Trigger
from abbotik_room_worker.domain.turns import Claim, begin_turn


def queue(
    draft: Draft, message_id: str, body: MessageBody, *, author: str, blob: str | None = None
) -> None:
    """Add a message; ``blob`` is the digest of a content that is stored apart."""
    room = draft.room
    seq = room.last_message_seq + 1
    draft.say(
        {
            "id": message_id,
            "seq": seq,
            "actor": body.actor_key,
            "author": author,
            "kind": body.kind,
            "content": _stored_content(body.content, blob),
            "blob": blob,
            "metadata": body.metadata,
            "turn": None,
        }
    )
    room.queue = (*room.queue, Trigger(seq, message_id))
    draft.add("message:queued", {"message_id": message_id, "seq": seq}, actor=body.actor_key)


def revive(draft: Draft, verb: RoomVerb, reason: str) -> None:
    """Move the room by the verb and report where that made a resting room idle again."""
    before = draft.room.status
    draft.move(verb)
    if draft.room.status is RoomStatus.IDLE and before is not RoomStatus.IDLE:
        draft.room.idle_since = draft.now
        draft.add("room:idle", {"reason": reason})


def begin_if_wanted(draft: Draft, claim: Claim | None) -> None:
    """Begin the next turn where the room wants one and this worker has a slot for it."""
    if claim is not None and draft.room.turn is None and wants_turn(draft.room):
        begin_turn(draft, claim)


def _stored_content(content: Content, blob: str | None) -> JsonValue:
    if isinstance(content, str):
        return "" if blob is not None else content
    blocks: list[JsonValue] = [{"type": "text", "text": block.text} for block in content]
    return [] if blob is not None else blocks
