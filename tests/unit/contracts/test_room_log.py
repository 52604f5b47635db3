"""The log entry's views: events, messages, turns and rooms as the API shows them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from abbotik_contracts.room_log import (
    LogEntry,
    StoredMessage,
    StoredState,
    StoredTurn,
    entry_id,
    first_event_seq,
)
from abbotik_contracts.room_views import (
    message_record,
    message_state,
    room_record,
    turn_record,
    wire_events,
)
from abbotik_kernel.chain import GENESIS_HASH

ROOM = "0198a1b2-0000-7000-8000-000000000002"


def _state(**changes: Any) -> StoredState:
    state: dict[str, Any] = {
        "status": "active",
        "epoch": 4,
        "lease": None,
        "rented_by": "ada",
        "rented_at": 1_000,
        "released_at": None,
        "last_active_at": 2_000,
        "idle_since": 1_000,
        "policy_version": 3,
        "config_rev": 1,
        "queue": [{"seq": 5, "id": b"x" * 16}],
        "withdrawn": [4],
        "woken": False,
        "wakes": [],
        "turn": None,
        "releasing": None,
        "usage": {"turns": 1},
        "last_error": None,
        "result": None,
        "hash": "f" * 64,
        "last_event_seq": 9,
        "last_message_seq": 5,
    }
    return cast("StoredState", {**state, **changes})


def _event(name: str, digest: str) -> dict[str, Any]:
    return {
        "id": f"event-{name}",
        "type": name,
        "actor": None,
        "payload": {"n": name},
        "turn": "t",
        "hash": digest,
    }


def _entry(**changes: Any) -> LogEntry:
    entry: dict[str, Any] = {
        "_id": entry_id(ROOM, 7),
        "tenant": "acme",
        "room": ROOM,
        "rev": 7,
        "session": "s",
        "counter": 1,
        "at": 1_769_851_800_123,
        "last_event_seq": 9,
        "last_message_seq": 5,
        "state": _state(),
    }
    return cast("LogEntry", {**entry, **changes})


def _message(seq: int, **changes: Any) -> StoredMessage:
    message: dict[str, Any] = {
        "id": f"m-{seq}",
        "seq": seq,
        "actor": "ada",
        "author": "user",
        "kind": "task",
        "content": "hello",
        "blob": None,
        "metadata": {"k": 1},
        "turn": None,
    }
    return cast("StoredMessage", {**message, **changes})


def test_entry_ids_sort_by_rev() -> None:
    """Ten comes after nine, however many digits a rev has."""
    ids = [entry_id(ROOM, rev) for rev in (1, 9, 10, 99, 100, 999_999_999_999)]
    assert ids == sorted(ids)
    assert ids[0] == f"{ROOM}:000000000001"


def test_events_get_their_seq_and_their_link_from_their_place() -> None:
    """The last event has the entry's `last_event_seq`; each links to the one before it."""
    entry = _entry(prev_hash="a" * 64, events=[_event("x", "b" * 64), _event("y", "c" * 64)])
    assert first_event_seq(entry) == 8
    assert list(wire_events(entry)) == [
        {
            "id": "event-x",
            "room_id": ROOM,
            "epoch": 4,
            "actor_key": None,
            "agent_key": None,
            "event_type": "x",
            "payload": {"n": "x"},
            "seq": 8,
            "created_at": "2026-01-31T09:30:00.123Z",
            "turn_id": "t",
            "policy_version": 3,
            "prev_hash": "a" * 64,
            "hash": "b" * 64,
        },
        {
            "id": "event-y",
            "room_id": ROOM,
            "epoch": 4,
            "actor_key": None,
            "agent_key": None,
            "event_type": "y",
            "payload": {"n": "y"},
            "seq": 9,
            "created_at": "2026-01-31T09:30:00.123Z",
            "turn_id": "t",
            "policy_version": 3,
            "prev_hash": "b" * 64,
            "hash": "c" * 64,
        },
    ]


def test_entry_without_events_shows_none() -> None:
    """A refusal's entry adds nothing to the stream, and its first seq is the next one."""
    assert list(wire_events(_entry())) == []
    assert first_event_seq(_entry()) == 10


def test_first_prev_hash_is_zeros() -> None:
    """A chain begins with 64 zeros."""
    assert GENESIS_HASH == "0" * 64


@pytest.mark.parametrize(("seq", "state"), [(3, "applied"), (4, "withdrawn"), (5, "queued")])
def test_message_state_follows_from_the_rooms_state(seq: int, state: str) -> None:
    """Withdrawn and queued are listed; everything else was applied."""
    assert message_state(_message(seq), _state()) == state


def test_message_record_is_as_documented() -> None:
    """A message has exactly the members of the API."""
    assert message_record(ROOM, _message(3), 0, "applied", "t-1") == {
        "id": "m-3",
        "room_id": ROOM,
        "actor_key": "ada",
        "agent_key": "ada",
        "author_kind": "user",
        "kind": "task",
        "content": "hello",
        "metadata": {"k": 1},
        "seq": 3,
        "created_at": "1970-01-01T00:00:00.000Z",
        "state": "applied",
        "turn_id": "t-1",
    }


def test_message_of_blocks_shows_them_twice() -> None:
    """Content that came as blocks is also shown as `content_blocks`."""
    blocks = [{"type": "text", "text": "a"}]
    record = message_record(ROOM, _message(3, content=blocks), 0, "queued", None)
    assert record["content"] == record["content_blocks"] == blocks


def test_output_names_its_own_turn() -> None:
    """The turn of an output is the one that wrote it, whoever asks."""
    assert message_record(ROOM, _message(3, turn="own"), 0, "applied", "other")["turn_id"] == "own"


@pytest.mark.parametrize(("ended_at", "shown"), [(None, None), (2_500, "1970-01-01T00:00:02.500Z")])
def test_turn_record_shows_its_end(ended_at: int | None, shown: str | None) -> None:
    """A running turn has no end; an ended one has its time."""
    turn: StoredTurn = {
        "id": "t-1",
        "message_id": "m-1",
        "message_seq": 1,
        "agent_id": "assistant-1",
        "provider": "scripted",
        "model": None,
        "status": "running",
        "started_at": 1_000,
        "ended_at": ended_at,
        "usage": {},
        "steps": [{"kind": "tool"}],
        "context": {"message_seqs": [1]},
        "error": None,
    }
    record = turn_record(ROOM, turn)
    assert (record["id"], record["turn_id"]) == ("t-1", "t-1")
    assert (record["started_at"], record["ended_at"]) == ("1970-01-01T00:00:01.000Z", shown)
    assert record["steps"] == [{"kind": "tool"}]


def test_room_record_has_the_documented_members() -> None:
    """State and configuration together show every member of the API."""
    turn = {"id": "t", "message_id": "m", "agent_id": "a", "started_at": 0, "deadline_at": 9}
    record = room_record("acme", ROOM, _state(turn=turn), {"purpose": "p", "actors": []})
    assert record == {
        "id": ROOM,
        "tenant_id": "acme",
        "purpose": "p",
        "status": "active",
        "rented_by": "ada",
        "rented_at": "1970-01-01T00:00:01.000Z",
        "released_at": None,
        "last_active_at": "1970-01-01T00:00:02.000Z",
        "actors": [],
        "result": None,
        "last_error": None,
        "current_turn": {
            "turn_id": "t",
            "message_id": "m",
            "agent_id": "a",
            "started_at": "1970-01-01T00:00:00.000Z",
        },
        "queue_depth": 1,
        "last_event_seq": 9,
        "last_message_seq": 5,
        "policy_version": 3,
        "next_wakes": [],
        "usage": {"turns": 1},
    }


def test_warnings_stand_in_the_room_only_where_there_are_some() -> None:
    """A room that can answer carries no empty list of warnings."""
    assert "warnings" not in room_record("acme", ROOM, _state(), {})
    assert room_record("acme", ROOM, _state(), {}, ["careful"])["warnings"] == ["careful"]
