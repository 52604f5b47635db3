"""A room's log, built without a worker: entries as they are stored, and what is published."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from abbotik_contracts.room_log import LogEntry, Record, StoredEvent, StoredState, entry_id
from abbotik_contracts.room_views import wire_events
from abbotik_kernel.chain import GENESIS_HASH
from abbotik_runtime.ids import uuid7

TENANT = "acme"


@dataclass(frozen=True)
class Said:
    """One event to be: its type, payload and turn."""

    event_type: str
    payload: Record = field(default_factory=dict)
    turn: str | None = None


class RoomHistory:
    """Makes a room's entries one after the other; ``epoch`` may be raised in between."""

    def __init__(self, tenant: str = TENANT) -> None:
        self.tenant = tenant
        self.room = uuid7()
        self.entries: list[LogEntry] = []
        self.epoch = 0
        self._seq = 0

    @property
    def records(self) -> list[Record]:
        """All events as the API shows them."""
        return [record for entry in self.entries for record in wire_events(entry)]

    def rent(self) -> LogEntry:
        """Begin the room."""
        return self.add(Said("room:rented"), status="rented")

    def message(self, message_id: str) -> LogEntry:
        """Queue a message."""
        return self.add(Said("message:queued", {"message_id": message_id, "seq": 1}))

    def turn(self, message_id: str, turn_id: str, output_id: str) -> list[LogEntry]:
        """Run a whole turn, in two commits."""
        start: Record = {"turn_id": turn_id, "message_id": message_id, "agent_id": "assistant-1"}
        end: Record = {"turn_id": turn_id, "message_id": message_id, "status": "completed"}
        self.epoch += 1
        return [
            self.add(
                Said("room:active", {"trigger_message_id": message_id}, turn_id),
                Said("actor:turn_start", start, turn_id),
                running=turn_id,
                status="active",
            ),
            self.add(
                Said("actor:output", {"message_id": output_id, "text": "hello"}, turn_id),
                Said("actor:turn_end", end, turn_id),
                Said("room:idle", {"reason": "drained"}),
            ),
        ]

    def release(self) -> LogEntry:
        """End the room."""
        return self.add(Said("room:released", {"settlement": {}}), status="released")

    def notes(self, count: int, size: int = 0) -> list[LogEntry]:
        """Add as many entries with one event each, whose payloads hold ``size`` bytes."""
        return [self.add(Said("room:wake", {"reason": "x" * size})) for _ in range(count)]

    def add(self, *said: Said, status: str = "idle", running: str | None = None) -> LogEntry:
        """Commit one entry with these events."""
        before = self.entries[-1]["state"]["hash"] if self.entries else GENESIS_HASH
        events: list[StoredEvent] = [
            {
                "id": uuid7(),
                "type": one.event_type,
                "actor": None,
                "payload": one.payload,
                "turn": one.turn,
                "hash": f"{self._seq + place:064x}",
            }
            for place, one in enumerate(said, start=1)
        ]
        self._seq += len(events)
        rev = len(self.entries) + 1
        entry: LogEntry = {
            "_id": entry_id(self.room, rev),
            "tenant": self.tenant,
            "room": self.room,
            "rev": rev,
            "session": "test",
            "counter": rev,
            "at": 1_700_000_000_000 + rev,
            "last_event_seq": self._seq,
            "last_message_seq": 0,
            "state": self._state(status, running, events[-1]["hash"] if events else before),
        }
        if events:
            entry["prev_hash"] = before
            entry["events"] = events
        self.entries.append(entry)
        return entry

    def _state(self, status: str, running: str | None, last_hash: str) -> StoredState:
        return {
            "status": status,
            "epoch": self.epoch,
            "lease": None,
            "rented_by": "user",
            "rented_at": 1_700_000_000_000,
            "released_at": None,
            "last_active_at": 1_700_000_000_000,
            "idle_since": 1_700_000_000_000,
            "policy_version": 1,
            "config_rev": 1,
            "queue": [],
            "withdrawn": [],
            "woken": False,
            "wakes": [],
            "turn": None if running is None else {"id": running},
            "releasing": None,
            "usage": {},
            "last_error": None,
            "result": None,
            "hash": last_hash,
            "last_event_seq": self._seq,
            "last_message_seq": 0,
        }


def published(*entries: LogEntry) -> bytes:
    """Return what a worker publishes after it committed these entries."""
    records = (record for entry in entries for record in wire_events(entry))
    return b"\n".join(orjson.dumps(record) for record in records)


def delta(room: str, turn_id: str, epoch: int, text: str, offset: int = 0) -> bytes:
    """Return what a worker publishes as a model speaks."""
    return orjson.dumps(
        {
            "room_id": room,
            "turn_id": turn_id,
            "actor_key": "assistant-1",
            "epoch": epoch,
            "offset": offset,
            "text": text,
        }
    )
