"""What must hold of any room's log, checked entry by entry from what the entries say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

import rfc8785

from abbotik_contracts.room_log import LogEntry, Record, StoredLease, entry_id
from abbotik_contracts.room_views import message_state, wire_events
from abbotik_kernel.chain import GENESIS_HASH
from abbotik_room_worker.domain.due import due_at, wants_turn
from abbotik_room_worker.domain.lifecycle import ROOM, RoomStatus
from abbotik_room_worker.domain.room import Room

# The event that leads into a status; a follower knows the status from events alone.
_LEADS_TO = {
    "room:rented": RoomStatus.RENTED,
    "room:active": RoomStatus.ACTIVE,
    "room:idle": RoomStatus.IDLE,
    "room:sleeping": RoomStatus.SLEEPING,
    "room:releasing": RoomStatus.RELEASING,
    "room:released": RoomStatus.RELEASED,
}
_MAY_BEGIN = (RoomStatus.RENTED, RoomStatus.IDLE, RoomStatus.SLEEPING)


class SoundLog:
    """Takes the entries of one room in order and asserts the invariants after each."""

    def __init__(self, max_queue: int) -> None:
        self._max_queue = max_queue
        self._rev = 0
        self._seq = 0
        self._message_seq = 0
        self._hash = GENESIS_HASH
        self._epoch = 0
        self._keys: set[str] = set()
        self._status: RoomStatus | None = None
        self._config: Record = {}
        self._turn: str | None = None
        self._open_calls: list[str] = []
        self._turns_ended = 0
        self._lease: StoredLease | None = None
        self._woken = False
        self.accepted: dict[str, int] = {}
        self.begun: list[str] = []
        self.withdrawn: list[str] = []

    def add(self, entry: LogEntry, lines: Sequence[bytes] | None = None) -> Room:
        """Check one entry and return the room it leads to; ``lines`` is what followers got."""
        self._check_place(entry)
        self._check_messages(entry)
        self._config = entry.get("config", self._config)
        ended, epoch = self._turns_ended, self._epoch
        events = list(wire_events(entry))
        for event in events:
            self._check_chain(event)
            self._follow(event)
        if lines is not None:
            assert [json.loads(line) for line in lines] == events
        self._check_lease(entry, epoch, ended=self._turns_ended > ended)
        room = Room.from_entry(entry, self._config)
        self._check_room(room, entry)
        return room

    def check_quiet(self, last: LogEntry) -> None:
        """Assert that every message that was accepted was applied once, or withdrawn."""
        assert self._turn is None
        assert sorted(self.begun + self.withdrawn) == sorted(self.accepted)
        for message_id, seq in self.accepted.items():
            probe: Record = {"seq": seq}
            state = message_state(probe, last["state"])  # type: ignore[arg-type]  # only seq is read
            assert state == ("withdrawn" if message_id in self.withdrawn else "applied")

    def _check_place(self, entry: LogEntry) -> None:
        assert entry["rev"] == self._rev + 1
        assert entry["_id"] == entry_id(entry["room"], entry["rev"])
        self._rev = entry["rev"]
        keys = entry.get("keys", [])
        assert len(set(keys)) == len(keys)
        assert not self._keys & set(keys)
        self._keys.update(keys)

    def _check_lease(self, entry: LogEntry, before: int, *, ended: bool) -> None:
        """Turn steps and effects come from one holder per epoch, so a new holder has a new one."""
        lease, self._epoch = entry["state"]["lease"], entry["state"]["epoch"]
        assert self._epoch >= before
        held_by = None if self._lease is None else self._lease["session"]
        if lease is not None:
            assert lease["epoch"] == self._epoch
            if lease["session"] != held_by:
                assert self._epoch > before
        if ended and entry["session"] != held_by:
            assert self._epoch > before
        self._lease = lease

    def _check_messages(self, entry: LogEntry) -> None:
        for message in entry.get("messages", []):
            assert message["seq"] == self._message_seq + 1
            self._message_seq = message["seq"]
            if message["author"] in ("user", "system"):
                self.accepted[message["id"]] = message["seq"]
            else:
                assert message["turn"] == self._turn
        assert entry["last_message_seq"] == self._message_seq

    def _check_chain(self, event: Record) -> None:
        assert event["seq"] == self._seq + 1
        self._seq += 1
        bare = {name: value for name, value in event.items() if name != "hash"}
        assert event["prev_hash"] == self._hash
        assert event["hash"] == sha256(rfc8785.dumps(bare)).hexdigest()
        self._hash = str(event["hash"])

    def _follow(self, event: Record) -> None:
        kind, payload = str(event["event_type"]), event["payload"]
        assert isinstance(payload, dict)
        if kind in _LEADS_TO:
            self._move(_LEADS_TO[kind])
        elif _fails(kind, payload) and self._status is not RoomStatus.RELEASING:
            self._move(RoomStatus.FAILED)
        self._follow_work(event, kind, payload)

    @property
    def _waiting(self) -> list[str]:
        return [m for m in self.accepted if m not in self.begun and m not in self.withdrawn]

    @property
    def _runs_what_waits(self) -> bool:
        policy = self._config["wake_policy"]
        return self._woken or (isinstance(policy, dict) and policy["mode"] == "on_message")

    def _follow_wakes(self, kind: str, payload: Record) -> None:
        """Note whether what waits may run: after a wake, until nothing waits or a turn fails."""
        if kind == "room:wake":
            # An occurrence that did not fire wakes nobody.
            if payload["cause"] == "explicit" or payload["outcome"] == "fired":
                self._woken = bool(self._waiting)
        elif kind == "room:idle":
            self._woken = self._woken and bool(self._waiting)
        elif _fails(kind, payload):
            self._woken = False
        elif kind == "actor:turn_start":
            assert self._runs_what_waits

    def _follow_work(self, event: Record, kind: str, payload: Record) -> None:
        self._follow_wakes(kind, payload)
        match kind:
            case "error":
                assert payload["room_status"] == self._status
            case "message:queued":
                assert payload["seq"] == self.accepted[str(payload["message_id"])]
            case "message:withdrawn":
                assert payload["message_id"] not in self.begun
                self.withdrawn.append(str(payload["message_id"]))
            case "actor:turn_start":
                assert self._turn is None
                self._turn = str(payload["turn_id"])
                self.begun.append(str(payload["message_id"]))
            case "actor:turn_end":
                assert payload["turn_id"] == self._turn
                assert self._open_calls == []
                self._turn = None
                self._turns_ended += 1
            case "tool:start":
                assert event["turn_id"] == self._turn is not None
                self._open_calls.append(str(payload["call_id"]))
            case "tool:end":
                self._open_calls.remove(str(payload["call_id"]))

    def _move(self, following: RoomStatus) -> None:
        if self._status is None:
            assert following is RoomStatus.RENTED
        else:
            assert following in ROOM.table[self._status].values(), (self._status, following)
        self._status = following

    def _check_room(self, room: Room, entry: LogEntry) -> None:
        state = entry["state"]
        assert room.status is self._status
        assert (room.last_event_seq, room.hash) == (self._seq, self._hash)
        assert entry["last_event_seq"] == self._seq
        assert room.usage["turns"] == self._turns_ended
        assert (None if room.turn is None else room.turn.id) == self._turn
        waiting = self._waiting
        assert [str(UUID(bytes=trigger["id"])) for trigger in state["queue"]] == waiting
        assert len(waiting) <= self._max_queue
        assert self.begun == sorted(self.begun, key=lambda one: self.accepted[one])
        running = room.status in (RoomStatus.ACTIVE, RoomStatus.RELEASING)
        assert (room.turn is not None) is running
        if running:
            assert due_at(room) is not None
            assert wants_turn(room) is (room.lease is None)
        else:
            assert room.lease is None
            may_begin = bool(waiting) and room.status in _MAY_BEGIN
            assert wants_turn(room) is (may_begin and self._runs_what_waits)


def _fails(kind: str, payload: Record) -> bool:
    """Say whether an event reports a failed turn; a command that broke leaves the room as it is."""
    return kind == "error" and payload["turn_id"] is not None
