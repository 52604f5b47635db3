"""The room log: the shape of an entry, and what the API shows of it.

An entry is one commit (one MongoDB document). The worker writes it, the gateway reads it, so its
names live here. Stored names are those of `LogEntry`; what an entry does not hold (`seq`,
`epoch`, `created_at` of each event …) follows from its place and is added by the views below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NotRequired, TypedDict, cast

from pydantic import JsonValue

from abbotik_kernel.chain import GENESIS_HASH
from abbotik_kernel.clock import rfc3339

Record = dict[str, JsonValue]

# Longer contents are stored as blobs; `actor:output.text` is cut at the same size.
INLINE_BYTES = 64 * 1024


class StoredEvent(TypedDict):
    """An event inside an entry; its `seq` follows from its place."""

    id: str
    type: str
    actor: str | None
    payload: Record
    turn: str | None
    hash: str


class StoredMessage(TypedDict):
    """A message inside an entry. ``blob`` is the SHA-256 of a content that is stored apart."""

    id: str
    seq: int
    actor: str | None
    author: str
    kind: str
    content: JsonValue
    blob: str | None
    metadata: Record
    turn: str | None


class StoredTurn(TypedDict):
    """A turn that ended with this entry; the one that runs is in the state. Times in ms."""

    id: str
    message_id: str
    message_seq: int
    agent_id: str
    provider: str
    model: str | None
    status: str
    started_at: int
    ended_at: int | None
    usage: Record
    steps: list[Record]
    context: Record
    error: Record | None


class StoredTrigger(TypedDict):
    """A queued message: its place in the room, and its id as 16 bytes."""

    seq: int
    id: bytes


class StoredLease(TypedDict):
    """Who runs the room's turn."""

    session: str
    epoch: int


class StoredState(TypedDict):
    """The small state that the entry leads to. Times in ms."""

    status: str
    epoch: int
    lease: StoredLease | None
    rented_by: str
    rented_at: int
    released_at: int | None
    last_active_at: int
    idle_since: int
    policy_version: int
    config_rev: int
    queue: list[StoredTrigger]
    withdrawn: list[int]
    woken: bool
    wakes: list[int]
    turn: Record | None
    releasing: Record | None
    usage: Record
    last_error: Record | None
    result: JsonValue
    hash: str
    last_event_seq: int
    last_message_seq: int


class LogEntry(TypedDict):
    """One commit.

    ``keys`` are the ids it settles, none of them ever twice: commands, turns begun, outputs. Who
    asks again by the first one is answered with this entry.
    """

    _id: str
    tenant: str
    room: str
    rev: int
    session: str
    counter: int
    at: int
    keys: NotRequired[list[str]]
    answer: NotRequired[Record]
    prev_hash: NotRequired[str]
    events: NotRequired[list[StoredEvent]]
    messages: NotRequired[list[StoredMessage]]
    turns: NotRequired[list[StoredTurn]]
    config: NotRequired[Record]
    last_event_seq: int
    last_message_seq: int
    state: StoredState


def entry_id(room: str, rev: int) -> str:
    """Return an entry's `_id`, which orders a room's entries and allows each rev once."""
    return f"{room}:{rev:012d}"


def first_event_seq(entry: LogEntry) -> int:
    """Return the seq of the entry's first event (of the next one, where it has none)."""
    return entry["last_event_seq"] - len(entry.get("events", ())) + 1


def wire_event(  # noqa: PLR0913  an event is these members
    *,
    room: str,
    seq: int,
    epoch: int,
    policy_version: int,
    at: int,
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
        "created_at": rfc3339(at),
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
    state = entry["state"]
    for seq, event in enumerate(entry.get("events", ()), start=first_event_seq(entry)):
        record = wire_event(
            room=entry["room"],
            seq=seq,
            epoch=state["epoch"],
            policy_version=state["policy_version"],
            at=entry["at"],
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
