"""The log and the keeper in their simplest form, for a state machine over one room.

Each worker decides on its own copy, seals, and appends where the rev is free and the keys are new.
"""

from __future__ import annotations

from hypothesis.stateful import RuleBasedStateMachine

from abbotik_contracts.room_commands import RoomCommand
from abbotik_contracts.room_log import LogEntry
from abbotik_room_worker.domain.decide import HolderCommand, decide, decide_held
from abbotik_room_worker.domain.draft import Draft, Nothing, Refusal
from abbotik_room_worker.domain.ending import Finish
from abbotik_room_worker.domain.room import Room
from abbotik_room_worker.domain.takeover import HandOver
from abbotik_room_worker.domain.turns import Claim, Step
from abbotik_room_worker.sealing import Sealed, seal, seal_refusal
from tests.unit.room_worker.rooms import (
    AROUND,
    T0,
    uid,
)
from tests.unit.room_worker.sound_log import SoundLog

MAX_QUEUE = 3
Answer = LogEntry | None


class RoomModel(RuleBasedStateMachine):
    """Workers `a`, `b`, `c`; each has a session, a copy of the room, and a turn it believes in."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.number = 0
        self.entries: list[LogEntry] = []
        self.log = SoundLog(MAX_QUEUE)
        self.around = AROUND._replace(max_queue=MAX_QUEUE)
        self.sessions = {"a": "a-0", "b": "b-0", "c": "c-0"}
        self.copies: dict[str, Room] = {}
        self.leases: dict[str, tuple[str, int, str]] = {}
        self.sent: list[tuple[RoomCommand, Answer]] = []

    def fresh(self) -> Room:
        """Read the room from its last entry."""
        last = self.entries[-1]
        config = self.entries[last["state"]["config_rev"] - 1]["config"]
        return Room.from_entry(last, config)

    def settled(self, key: str) -> LogEntry | None:
        """Return the entry that holds a key."""
        return next((entry for entry in self.entries if key in entry.get("keys", [])), None)

    def append(self, worker: str, sealed: Sealed) -> bool:
        """Write where the rev is free and no key was settled, as the unique indexes do."""
        entry = sealed.entry
        if entry["rev"] != len(self.entries) + 1 or any(map(self.settled, entry.get("keys", []))):
            del self.copies[worker]
            return False
        self.entries.append(entry)
        assert self.log.add(entry, sealed.lines) == sealed.room
        self.copies[worker] = sealed.room
        lease, turn = sealed.room.lease, sealed.room.turn
        if lease is not None and turn is not None and lease.session == self.sessions[worker]:
            self.leases[worker] = (lease.session, lease.epoch, turn.id)
        return True

    def request(self, worker: str, command: RoomCommand, claim: Claim | None = None) -> Answer:
        """Decide a caller's command until it is settled; return the entry that settled it."""
        around = self.around._replace(claim=claim)
        while True:
            stale = worker in self.copies
            room = self.copies.setdefault(worker, self.fresh())
            decision = decide(room, command, self.now, around)
            if isinstance(decision, Draft):
                sealed = seal(decision, self.sessions[worker], self.next_number())
            elif isinstance(decision, Refusal) and not decision.lasting:
                sealed = seal_refusal(
                    room, decision, command.id, self.now, self.sessions[worker], self.next_number()
                )
            else:
                if not stale or self.settled(command.id):
                    return self.settled(command.id)
                del self.copies[worker]
                continue
            if self.append(worker, sealed) or self.settled(command.id):
                return self.settled(command.id)

    def held(self, worker: str, command: HolderCommand) -> bool:
        """Decide a worker's own command; say whether it was committed."""
        while True:
            stale = worker in self.copies
            room = self.copies.setdefault(worker, self.fresh())
            decision = decide_held(room, command, self.now)
            if isinstance(decision, Draft):
                before = self.entries[-1]["state"]["lease"]
                if not self.append(
                    worker, seal(decision, self.sessions[worker], self.next_number())
                ):
                    continue
                if isinstance(command, Step | Finish | HandOver):
                    # Turn steps and effects come from one lease holder per epoch.
                    assert before == {"session": command.session, "epoch": command.epoch}
                return True
            assert isinstance(decision, Nothing)
            if not stale:
                if decision.lease_lost:
                    self.leases.pop(worker, None)
                return False
            del self.copies[worker]

    def next_number(self) -> int:
        """Return a number that was not used before."""
        self.number += 1
        return self.number

    def claim(self, worker: str) -> Claim:
        """Return a claim of that worker for a new turn."""
        return Claim(self.sessions[worker], uid(500_000 + self.next_number()), 60_000)
