"""Entries: their place, their chain, their token, and the state that reads back."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
import rfc8785
from bson import decode, encode

from abbotik_contracts.room_log import entry_id
from abbotik_contracts.room_views import wire_events
from abbotik_kernel.chain import GENESIS_HASH
from abbotik_room_worker.domain.draft import Refusal
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.room import OpenCall, Room
from abbotik_room_worker.domain.turns import Step
from abbotik_room_worker.sealing import Sealed, seal, seal_refusal
from tests.unit.room_worker.rooms import (
    ROOM,
    T0,
    TURN,
    active,
    after,
    asked,
    claim,
    drafted,
    held,
    interrupt,
    message,
    patch,
    rent,
    rented,
    room_in,
    uid,
)


def _rented() -> Sealed:
    return seal(drafted(asked(None, rent(1, purpose="π ≠ 3"))), "s-1", 1)


def test_first_entry_is_rev_one_of_a_new_chain() -> None:
    """A room begins with rev 1 and a link to 64 zeros, and holds its configuration."""
    sealed = _rented()
    entry = sealed.entry
    assert (entry["_id"], entry["rev"]) == (entry_id(ROOM, 1), 1)
    assert (entry["session"], entry["counter"], entry["at"]) == ("s-1", 1, T0)
    assert entry["prev_hash"] == GENESIS_HASH
    assert entry["config"] == sealed.room.config_record
    assert entry["keys"] == [uid(1)]
    assert (sealed.room.rev, sealed.room.config_rev) == (1, 1)


def test_entries_chain_over_commits() -> None:
    """The next entry links to the last event, not to the last entry."""
    first = _rented()
    quiet = seal(drafted(asked(first.room, patch(5, summary_text="s"))), "s-1", 2)
    assert "events" not in quiet.entry
    assert "prev_hash" not in quiet.entry
    third = seal(drafted(asked(quiet.room, message(2), begin=claim())), "s-1", 3)
    assert third.entry["prev_hash"] == first.entry["events"][-1]["hash"]
    assert third.entry["rev"] == 3


def test_each_hash_is_over_the_canonical_event() -> None:
    """Anybody can recompute the chain from what the API shows."""
    room = _rented().room
    sealed = seal(drafted(asked(room, message(2), begin=claim())), "s-1", 2)
    previous = room.hash
    for event in wire_events(sealed.entry):
        digest = event.pop("hash")
        assert event["prev_hash"] == previous
        assert digest == sha256(rfc8785.dumps(event)).hexdigest()
        previous = str(digest)
    assert sealed.room.hash == previous


def test_lines_are_the_events_as_the_api_shows_them() -> None:
    """What followers get on the bus equals what the log shows later, hash first."""
    sealed = seal(drafted(asked(_rented().room, message(2), begin=claim())), "s-1", 2)
    assert [json.loads(line) for line in sealed.lines] == list(wire_events(sealed.entry))
    assert all(line.startswith(b'{"hash":"') and b"\n" not in line for line in sealed.lines)


def test_configuration_is_stored_where_it_changed_only() -> None:
    """Later entries name the rev that holds it."""
    first = _rented()
    second = seal(drafted(asked(first.room, message(2))), "s-1", 2)
    assert "config" not in second.entry
    assert second.entry["state"]["config_rev"] == 1
    third = seal(drafted(asked(second.room, patch(5, purpose="q"))), "s-1", 3)
    assert third.entry["config"]["purpose"] == "q"
    assert third.entry["state"]["config_rev"] == 3


def test_entry_has_only_what_it_needs() -> None:
    """An entry without events, messages, turns or keys carries no empty members."""
    room = active()
    call = OpenCall("call-1", "echo", idempotent=True)
    step = seal(drafted(held(room, Step("w1", 1, TURN, opened=(call,)))), "s-1", 4)
    assert not {"keys", "answer", "messages", "turns", "config"} & set(step.entry)


def test_sealing_leaves_the_room_before_as_it_was() -> None:
    """The copy in memory of a writer that loses the race is not the winner's."""
    room = _rented().room
    before = room.copy()
    seal(drafted(asked(room, patch(5, purpose="new"))), "s-1", 2)
    seal_refusal(room, Refusal("ROOM_BUSY", "d"), uid(9), T0, "s-1", 3)
    assert room == before


def test_refusal_takes_a_rev_and_nothing_else() -> None:
    """The entry that remembers a refusal has its key, answer and time, the state as it was."""
    room = _rented().room
    refusal = Refusal("ROOM_BUSY", "detail", extra={"n": 1})
    sealed = seal_refusal(room, refusal, uid(9), T0 + 5, "s-2", 7)
    assert sealed.entry["keys"] == [uid(9)]
    assert sealed.entry["answer"] == {
        "kind": "refusal",
        "code": "ROOM_BUSY",
        "detail": "detail",
        "extra": {"n": 1},
    }
    assert sealed.lines == []
    assert sealed.entry["last_event_seq"] == room.last_event_seq
    expected = room.copy()
    expected.rev += 1
    expected.at = T0 + 5
    assert sealed.room == expected


def _full_rooms() -> list[Room]:
    call = OpenCall("call-1", "echo", idempotent=False)
    busy = after(held(active(), Step("w1", 1, TURN, opened=(call,))))
    busy = after(asked(busy, interrupt(6, mode="soft")))
    busy = after(asked(busy, message(7)))
    return [*map(room_in, RoomStatus), busy, rented(metadata={"a.b": {"$c": 1.5}})]


@pytest.mark.parametrize("room", _full_rooms(), ids=lambda room: str(room.status.value))
def test_room_reads_back_from_its_entry(room: Room) -> None:
    """State, stored as BSON and read again, is the same room to the last member."""
    sealed = seal_refusal(room, Refusal("ROOM_BUSY", "d"), uid(9), T0, "s-1", 1)
    stored = decode(encode(sealed.entry))
    assert Room.from_entry(stored, room.config_record) == sealed.room  # type: ignore[arg-type]  # as it was encoded


def test_entry_beside_its_content_is_small() -> None:
    """A room with a full queue costs 2 kB beside new content, and an empty one much less."""
    room = active()
    for number in range(64):
        room = after(asked(room, message(100 + number)))
    sealed = seal_refusal(room, Refusal("ROOM_BUSY", "d"), uid(9), T0, "s-1", 1)
    assert len(encode(sealed.entry)) < 2_000 + 64 * 64
    small = seal_refusal(_rented().room, Refusal("ROOM_BUSY", "d"), uid(9), T0, "s-1", 1)
    assert len(encode(small.entry)) < 1_200
