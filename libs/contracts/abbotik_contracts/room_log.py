"""The room log: the shape of an entry.

An entry is one commit (one MongoDB document). The worker writes it, the gateway reads it, so its
names live here. Stored names are those of `LogEntry`; what an entry does not hold (`seq`,
`epoch`, `created_at` of each event …) follows from its place and is added by `room_views`.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from pydantic import JsonValue

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
