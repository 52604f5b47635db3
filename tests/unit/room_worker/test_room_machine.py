"""One room, several workers with stale copies, time that passes: the log stays sound.

The machine stands in for keeper and log: it decides on a worker's copy, seals, and appends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from abbotik_contracts.room_commands import RoomCommand
from abbotik_contracts.room_log import LogEntry, Record
from abbotik_room_worker.domain.decide import HolderCommand, decide, decide_held
from abbotik_room_worker.domain.draft import Draft, Nothing, Refusal
from abbotik_room_worker.domain.due import due_at, wants_turn
from abbotik_room_worker.domain.ending import Finish
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.room import Lease, OpenCall, Room
from abbotik_room_worker.domain.takeover import HandOver, Recover
from abbotik_room_worker.domain.ticks import Tick
from abbotik_room_worker.domain.turns import Claim, Step
from abbotik_room_worker.sealing import Sealed, seal, seal_refusal
from tests.unit.room_worker.rooms import (
    AROUND,
    T0,
    interrupt,
    message,
    patch,
    release,
    rent,
    uid,
    wake,
)
from tests.unit.room_worker.sound_log import SoundLog

MAX_QUEUE = 3
WORKERS = st.sampled_from(["a", "b", "c"])
PICKS = st.integers(0, 2)
Answer = LogEntry | None
End = Literal["completed", "failed", "interrupted"]
ENDS: tuple[End, ...] = ("completed", "completed", "failed", "interrupted")


class RoomMachine(RuleBasedStateMachine):
    """Workers `a`, `b`, `c`; each has a session, a copy of the room, and turns it believes in."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.number = 0
        self.entries: list[LogEntry] = []
        self.log = SoundLog(MAX_QUEUE)
        self.around = replace(AROUND, max_queue=MAX_QUEUE)
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
        around = replace(self.around, claim=claim)
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

    def believer(self, pick: int) -> str:
        """Return one of the workers that believe to run the turn; at most one of them is right."""
        return sorted(self.leases)[pick % len(self.leases)]

    def send(self, worker: str, command: RoomCommand, claim: Claim | None = None) -> None:
        """Send a caller's command for the first time."""
        self.sent.append((command, self.request(worker, command, claim)))

    @initialize(
        mode=st.sampled_from(["on_message", "on_message", "explicit"]), sleepy=st.booleans()
    )
    def rent(self, mode: str, *, sleepy: bool) -> None:
        """Begin the room."""
        policy = {"mode": mode, **({"sleep_after_s": 5} if sleepy else {})}
        decision = decide(None, rent(self.next_number()), self.now, self.around)
        assert isinstance(decision, Draft)
        assert self.append("a", seal(decision, "a-0", self.next_number()))
        self.send("a", patch(self.next_number(), wake_policy=policy))

    @rule(worker=WORKERS, reject=st.booleans(), slot=st.booleans())
    def post(self, worker: str, *, reject: bool, slot: bool) -> None:
        """Send a message."""
        delivery: Literal["queue", "reject"] = "reject" if reject else "queue"
        command = message(self.next_number(), delivery=delivery)
        self.send(worker, command, self.claim(worker) if slot else None)

    @rule(worker=WORKERS, content=st.none() | st.just("more"), slot=st.booleans())
    def wake(self, worker: str, content: str | None, *, slot: bool) -> None:
        """Wake the room."""
        command = wake(self.next_number(), content=content)
        self.send(worker, command, self.claim(worker) if slot else None)

    @precondition(lambda self: self.leases or self.number % 5 == 0)
    @rule(worker=WORKERS, mode=st.sampled_from(["soft", "hard"]), wait=st.sampled_from([0, 3_000]))
    def interrupt(self, worker: str, mode: str, wait: int) -> None:
        """Interrupt whatever runs."""
        self.send(worker, interrupt(self.next_number(), mode=mode, deadline_ms=wait))

    @rule(
        worker=WORKERS,
        mode=st.sampled_from([None, None, "explicit"]),
        sleep=st.sampled_from([None, 5]),
    )
    def patch(self, worker: str, mode: str | None, sleep: int | None) -> None:
        """Change when the room starts turns and when it sleeps."""
        policy: dict[str, str | int | None] = {"mode": mode, "sleep_after_s": sleep}
        self.send(worker, patch(self.next_number(), wake_policy=policy))

    @precondition(lambda self: len(self.entries) > 12)
    @rule(worker=WORKERS)
    def release(self, worker: str) -> None:
        """End the room, late enough that it had a life."""
        self.send(worker, release(self.next_number(), result="r"))

    @rule(worker=WORKERS, place=st.integers(0, 30))
    def redeliver(self, worker: str, place: int) -> None:
        """Deliver an earlier command again, to anybody: the first outcome is the outcome."""
        command, answer = self.sent[place % len(self.sent)]
        before = len(self.entries)
        assert self.request(worker, command, self.claim(worker)) is answer
        assert len(self.entries) == before

    @rule(worker=WORKERS)
    def take(self, worker: str) -> None:
        """Claim the room's turn, or take over one without a holder."""
        if not self.held(worker, self.claim(worker)):
            room = self.fresh()
            if room.turn is not None and room.lease is None:
                self.held(worker, Recover(self.sessions[worker], None, room.epoch))

    @precondition(lambda self: self.leases)
    @rule(pick=PICKS, opens=st.booleans())
    def step(self, pick: int, *, opens: bool) -> None:
        """Open a tool call or settle the open ones, by a worker that believes to run the turn."""
        worker = self.believer(pick)
        session, epoch, turn_id = self.leases[worker]
        if opens:
            call = OpenCall(uid(self.next_number()), "echo", idempotent=True)
            self.held(worker, Step(session, epoch, turn_id, opened=(call,)))
            return
        turn = self.fresh().turn
        ends: tuple[Record, ...] = tuple(
            {"call_id": call.call_id} for call in (turn.open_calls if turn is not None else ())
        )
        self.held(worker, Step(session, epoch, turn_id, settled=ends))

    @precondition(lambda self: self.leases)
    @rule(pick=PICKS, status=st.sampled_from(ENDS), goes_on=st.booleans())
    def finish(self, pick: int, status: End, *, goes_on: bool) -> None:
        """End the turn that a worker believes to run."""
        self.end(self.believer(pick), status, goes_on=goes_on)

    @rule(worker=WORKERS)
    def recover(self, worker: str) -> None:
        """Take over a turn whose holder this worker thinks dead."""
        room = self.fresh()
        if room.lease is not None and room.lease.session != self.sessions[worker]:
            self.held(worker, Recover(self.sessions[worker], room.lease.session, room.epoch))

    @precondition(lambda self: self.leases)
    @rule(pick=PICKS)
    def hand_over(self, pick: int) -> None:
        """Give the lease back."""
        worker = self.believer(pick)
        session, epoch, _ = self.leases[worker]
        self.held(worker, HandOver(session, epoch))

    @rule(worker=WORKERS, wait=st.sampled_from([0, 1, 700, 2_000, 5_000, 30_000, 90_000]))
    def tick(self, worker: str, wait: int) -> None:
        """Let time pass, and have a worker look at the deadlines."""
        self.now += wait
        due = due_at(self.fresh())
        assert self.held(worker, Tick(self.sessions[worker])) is (
            due is not None and due <= self.now
        )

    @rule(worker=WORKERS)
    def restart(self, worker: str) -> None:
        """Kill the worker's process and start it anew: another session, nothing in memory."""
        self.sessions[worker] = f"{worker}-{self.next_number()}"
        self.copies.pop(worker, None)
        self.leases.pop(worker, None)

    def end(self, worker: str, status: End, *, goes_on: bool) -> None:
        """End a turn as its holder would."""
        session, epoch, turn_id = self.leases[worker]
        ending = Finish(
            session=session,
            epoch=epoch,
            turn_id=turn_id,
            status=status,
            output_id=uid(700_000 + self.next_number()),
            output="text" if status != "failed" else None,
            usage={"total_tokens": 1},
            next_claim=self.claim(worker) if goes_on else None,
        )
        self.held(worker, ending)

    def teardown(self) -> None:
        """Let every turn end by its deadlines alone, then run what waits; nothing is left over."""
        if not self.entries:
            return
        self.restart("a")
        for _ in range(3):
            if self.fresh().turn is not None:
                self.now = max(self.now, due_at(self.fresh()) or 0)
                assert self.held("a", Tick(self.sessions["a"]))
        assert self.fresh().turn is None
        while self.fresh().queue:
            if not wants_turn(self.fresh()):
                self.send("a", wake(self.next_number()))
            assert self.held("a", self.claim("a"))
            assert self.fresh().lease == Lease(self.sessions["a"], self.fresh().epoch)
            self.end("a", "completed", goes_on=False)
        assert self.fresh().status not in (RoomStatus.ACTIVE, RoomStatus.RELEASING)
        self.log.check_quiet(self.entries[-1])


RoomMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestRoomMachine = RoomMachine.TestCase
