"""One room, several workers with stale copies, time that passes: the log stays sound."""

from __future__ import annotations

from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from abbotik_contracts.room_commands import RoomCommand
from abbotik_contracts.room_log import Record
from abbotik_room_worker.domain.decide import decide
from abbotik_room_worker.domain.draft import Draft
from abbotik_room_worker.domain.due import due_at, wants_turn
from abbotik_room_worker.domain.ending import Finish
from abbotik_room_worker.domain.lifecycle import RoomStatus
from abbotik_room_worker.domain.room import Lease, OpenCall
from abbotik_room_worker.domain.takeover import HandOver, Recover
from abbotik_room_worker.domain.ticks import Tick
from abbotik_room_worker.domain.turns import Claim, Step
from abbotik_room_worker.sealing import seal
from tests.unit.room_worker.room_model import RoomModel
from tests.unit.room_worker.rooms import (
    interrupt,
    message,
    patch,
    release,
    rent,
    uid,
    wake,
)

WORKERS = st.sampled_from(["a", "b", "c"])
PICKS = st.integers(0, 2)
End = Literal["completed", "failed", "interrupted"]
ENDS: tuple[End, ...] = ("completed", "completed", "failed", "interrupted")


class RoomMachine(RoomModel):
    """Whatever callers and workers do, in any order."""

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
        before = due_at(self.fresh())
        self.send(worker, interrupt(self.next_number(), mode=mode, deadline_ms=wait))
        if self.fresh().turn is not None:
            assert (due_at(self.fresh()) or 0) <= (before or 0)

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
        calls = (OpenCall(uid(self.next_number()), "echo", idempotent=True),) if opens else ()
        turn = self.fresh().turn
        open_calls = () if opens or turn is None else turn.open_calls
        ends: tuple[Record, ...] = tuple({"call_id": call.call_id} for call in open_calls)
        step = Step(session, epoch, turn_id, opened=calls, settled=ends)
        self.held(worker, step)
        # A step that is decided again, because its commit was not heard of, is there once.
        assert not self.held(worker, step)

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
        if self.held(worker, HandOver(session, epoch)):
            assert self.fresh().lease is None

    @rule(worker=WORKERS, wait=st.sampled_from([0, 1, 700, 2_000, 5_000, 30_000, 90_000]))
    def tick(self, worker: str, wait: int) -> None:
        """Let time pass, and have a worker look at the deadlines."""
        self.now += wait
        due = due_at(self.fresh())
        assert self.held(worker, Tick(self.sessions[worker], 8)) is (
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
                assert self.held("a", Tick(self.sessions["a"], 8))
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
