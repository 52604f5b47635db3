"""A durable plane in memory: what is behind the gateway, with the room worker's own decisions.

It is the gateway's `Commands`, `RoomLog`, `RoomList`, `Contents` and `KeyStore` at once, so that a
test of the API reads what it wrote. Turns begin at once where the room wants one, and end when the
test says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson

from abbotik_contracts.room_commands import RentRoom, RoomCommand
from abbotik_contracts.room_log import LogEntry, Record, StoredTurn
from abbotik_contracts.room_views import room_record
from abbotik_contracts.subjects import room_events
from abbotik_gateway.domain.keyed import RUNNING_MS, Keyed
from abbotik_gateway.domain.outcome import Outcome, read_outcome
from abbotik_gateway.domain.paging import ListPlace
from abbotik_gateway.ports import UnavailableError
from abbotik_room_worker import answers
from abbotik_room_worker.domain.decide import HolderCommand, decide, decide_held
from abbotik_room_worker.domain.draft import Draft, Nothing, Refusal
from abbotik_room_worker.domain.ending import Finish
from abbotik_room_worker.domain.lifecycle import ROOM
from abbotik_room_worker.domain.requests import Circumstances
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.domain.turns import Claim
from abbotik_room_worker.sealing import Sealed, seal, seal_refusal
from abbotik_runtime.ids import uuid7
from tests.fakes.streams import FakeClock, FakeSignals

SESSION = "00000000-0000-7000-8000-000000000001"
_TIMEOUT_MS = 900_000

Key = tuple[str, str]


class Plane:
    """``sent`` are the commands that arrived; ``broken`` is raised in place of an outcome.

    ``lost`` makes a command happen and its outcome disappear: `broken` is raised after it.
    """

    def __init__(self, clock: FakeClock, signals: FakeSignals) -> None:
        self.clock = clock
        self.signals = signals
        self.rooms: dict[Key, list[LogEntry]] = {}
        self.sent: list[RoomCommand] = []
        self.traces: list[str | None] = []
        self.broken: Exception | None = None
        self.lost = False
        self.away = False
        self._blobs: dict[Key, bytes] = {}
        self._counter = 0

    # Commands

    async def send(
        self, command: RoomCommand, trace: str | None = None, deadline_s: float = 5.0
    ) -> Outcome:
        """Decide the command as a worker does."""
        assert 0 < deadline_s <= 5
        if self.broken is not None and not self.lost:
            raise self.broken
        self.sent.append(command)
        self.traces.append(trace)
        outcome = read_outcome(orjson.dumps(self._decided(command)))
        if self.broken is not None:
            raise self.broken
        return outcome

    def _decided(self, command: RoomCommand) -> Record:
        key = (command.tenant, command.room)
        room = self.room_now(key)
        earlier = self._by_key(key, command.id)
        if earlier is not None and room is not None:
            return answers.of_entry(earlier, room.config_record)
        fresh = None if isinstance(command, RentRoom) else room
        around = Circumstances("scripted", "scripted-1", claim=Claim(SESSION, uuid7(), _TIMEOUT_MS))
        decision = decide(fresh, command, self.clock.now_ms(), around)
        match decision:
            case Draft():
                return self._committed(self._sealed(decision))
            case Refusal() if fresh is not None and not decision.lasting:
                self._counter += 1
                now = self.clock.now_ms()
                return self._committed(
                    seal_refusal(fresh, decision, command.id, now, SESSION, self._counter)
                )
            case Refusal():
                return answers.refused(decision)
            case Nothing():
                assert fresh is not None
                return answers.of_room(fresh)

    # What a worker does by itself

    def finish(
        self, room: str, output: str | None = "done", tenant: str = "dev", **more: Any
    ) -> str:
        """End the running turn with that output; return the output message's id."""
        now = self.room_now((tenant, room))
        assert now is not None
        assert now.turn is not None
        ending: dict[str, Any] = {"status": "completed", "output": output, **more}
        command = Finish(SESSION, now.epoch, now.turn.id, output_id=uuid7(), **ending)
        self._hold((tenant, room), command)
        return command.output_id

    def _hold(self, key: Key, command: HolderCommand) -> None:
        room = self.room_now(key)
        assert room is not None
        decision = decide_held(room, command, self.clock.now_ms())
        assert isinstance(decision, Draft)
        self._committed(self._sealed(decision))

    def room_now(self, key: Key) -> Room | None:
        """Return the room by its newest entry."""
        entries = self.rooms.get(key)
        return None if not entries else Room.from_entry(entries[-1], self.config(key))

    def config(self, key: Key) -> Record:
        """Return the newest configuration."""
        return next(entry["config"] for entry in reversed(self.rooms[key]) if "config" in entry)

    def _sealed(self, draft: Draft) -> Sealed:
        self._counter += 1
        return seal(draft, SESSION, self._counter)

    def _committed(self, sealed: Sealed) -> Record:
        entry = sealed.entry
        # As it would come out of the store: nothing shared with the room in memory.
        self.rooms.setdefault((entry["tenant"], entry["room"]), []).append(_copied(entry))
        self.signals.publish(room_events(entry["tenant"], entry["room"]), b"\n".join(sealed.lines))
        return answers.of_entry(entry, sealed.room.config_record)

    # RoomLog

    def of(self, tenant: str, room: str) -> PlaneScope:
        """Return one room's log."""
        return PlaneScope(self, (tenant, room))

    def entries(self, key: Key) -> list[LogEntry]:
        """Return a room's entries, unless the plane is away."""
        if self.away:
            raise UnavailableError("away")
        return self.rooms.get(key, [])

    def _by_key(self, key: Key, settled: str) -> LogEntry | None:
        found = (e for e in self.rooms.get(key, []) if settled in e.get("keys", ()))
        return next(found, None)

    # RoomList

    async def page(
        self,
        tenant: str,
        *,
        status: str | None,
        name: str | None,
        after: ListPlace | None,
        limit: int,
    ) -> list[tuple[ListPlace, Record]]:
        """Return a page of the tenant's rooms."""
        if self.away:
            raise UnavailableError("away")
        rows = []
        for key in self.rooms:
            room = self.room_now(key)
            if room is None or key[0] != tenant:
                continue
            place = ListPlace(ROOM.terminal(room.status), room.rented_at, room.id)
            record = room_record(tenant, room.id, room.to_state(), room.config_record)
            named = room.config.metadata.get("name")
            if status in (None, record["status"]) and name in (None, named):
                rows.append((place, record))
        rows.sort(key=lambda row: _order(row[0]))
        return [row for row in rows if after is None or _order(row[0]) > _order(after)][:limit]

    # Contents

    async def put(self, tenant: str, data: bytes) -> str:
        """Store the bytes."""
        digest = sha256(data).hexdigest()
        self._blobs[tenant, digest] = data
        return digest

    async def get(self, tenant: str, digest: str) -> bytes | None:
        """Return the bytes."""
        return self._blobs.get((tenant, digest))


class PlaneScope:
    """The log of one room."""

    def __init__(self, plane: Plane, key: Key) -> None:
        self._plane = plane
        self._key = key

    async def last(self) -> LogEntry | None:
        """Return the newest entry."""
        entries = self._plane.entries(self._key)
        return entries[-1] if entries else None

    async def room(self) -> tuple[LogEntry, Record] | None:
        """Return the newest entry and its configuration."""
        entries = self._plane.entries(self._key)
        return (entries[-1], self._plane.config(self._key)) if entries else None

    async def by_key(self, key: str) -> LogEntry | None:
        """Return the entry that settled an id."""
        entries = self._plane.entries(self._key)
        return next((entry for entry in entries if key in entry.get("keys", ())), None)

    async def events_after(self, seq: int, limit: int = 500) -> list[LogEntry]:
        """Return entries with events above ``seq``."""
        entries = self._plane.entries(self._key)
        return [entry for entry in entries if entry["last_event_seq"] > seq][:limit]

    async def messages_after(self, seq: int, limit: int = 500) -> list[LogEntry]:
        """Return entries with messages above ``seq``."""
        entries = self._plane.entries(self._key)
        found = [e for e in entries if "messages" in e and e["last_message_seq"] > seq]
        return found[:limit]

    async def ended_turns(self, first: int, last: int) -> dict[int, StoredTurn]:
        """Return the turns of these messages that have ended."""
        return {
            turn["message_seq"]: turn
            for entry in self._plane.entries(self._key)
            for turn in entry.get("turns", ())
            if first <= turn["message_seq"] <= last
        }


class FakeKeyStore:
    """`KeyStore` in a dictionary; ``away`` makes it fail."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._held: dict[tuple[str, str, str], tuple[Keyed, int]] = {}
        self.away = False

    async def begin(self, wanted: Keyed) -> Keyed:
        """Store the request unless its key is known."""
        self._reach()
        held = self._held.get(_place(wanted))
        if held is None:
            self._held[_place(wanted)] = (wanted, self._clock.now_ms())
            return wanted
        stored, began = held
        return replace(stored, age_ms=self._clock.now_ms() - began)

    async def take_over(self, stored: Keyed) -> bool:
        """Make this request the one that runs."""
        self._reach()
        held, began = self._held[_place(stored)]
        now = self._clock.now_ms()
        if held.outcome is not None or not (held.opened or now - began >= RUNNING_MS):
            return False
        self._held[_place(stored)] = (replace(held, opened=False), now)
        return True

    async def finish(self, stored: Keyed, outcome: Outcome) -> None:
        """Keep the outcome."""
        self._change(stored, lambda held: replace(held, outcome=held.outcome or outcome))

    async def reopen(self, stored: Keyed) -> None:
        """Say that the outcome stayed open."""
        self._change(stored, lambda held: replace(held, opened=True))

    def _change(self, stored: Keyed, change: Callable[[Keyed], Keyed]) -> None:
        self._reach()
        held, began = self._held.get(_place(stored), (None, 0))
        if held is not None and held.command == stored.command:
            self._held[_place(stored)] = (change(held), began)

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("away")


def _place(keyed: Keyed) -> tuple[str, str, str]:
    return keyed.tenant, keyed.route, keyed.key


def _order(place: ListPlace) -> tuple[bool, int, list[int]]:
    return place.released, -place.rented_at, [-ord(letter) for letter in place.room]


def _copied(entry: LogEntry) -> LogEntry:
    copied: LogEntry = _value(entry)
    return copied


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _value(member) for name, member in value.items()}
    return [_value(item) for item in value] if isinstance(value, list) else value
