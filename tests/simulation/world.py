"""Rooms, clients, workers that are killed and paused, and a bus that loses and doubles."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from abbotik_contracts.policies import Schedule, WakePolicy
from abbotik_contracts.room_bodies import (
    InterruptBody,
    MessageBody,
    ReleaseBody,
    RentBody,
    WakeBody,
)
from abbotik_contracts.room_commands import (
    InterruptRoom,
    PatchChange,
    PatchRoom,
    PostMessage,
    ReleaseRoom,
    RentRoom,
    RoomCommand,
    WakeRoom,
    encode,
    verb,
)
from abbotik_contracts.room_log import LogEntry, Record
from abbotik_contracts.subjects import HEADER_REPLY, room_command
from abbotik_kernel.outcome import Reject, Retry
from abbotik_room_worker.ports import RoomKey
from tests.fakes.room_worker.clock import START_MS
from tests.fakes.room_worker.store import MemoryStore
from tests.simulation.network import FAIR, Machine
from tests.simulation.worker import SimWorker

TENANT = "acme"
SCRIPTS = (
    "hello",
    "!stream 100 one two three",
    '!tool echo {"x": 1}\n!wait 400\n!say done',
    "!wait 2500\n!say slept",
    "!fail BROKEN no",
)
SCHEDULED = WakePolicy(schedule=Schedule(every_s=3, content="tick", overlap="queue"))
FAULTS_S = 40.0
PATIENCE_S = 180.0
_ACK_WAIT_S = 2.0
_LOOK_S = 0.1


class LoopClock:
    """The time of the virtual loop."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970, UTC."""
        return START_MS + int(asyncio.get_running_loop().time() * 1000)


@dataclass(slots=True, eq=False)
class _Queued:
    """A command in the stream, until it is acked."""

    subject: str
    data: bytes
    reply: str
    again: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class World:
    """One simulated deployment. ``told`` is every outcome that a client heard, by command id."""

    random: Random
    store: MemoryStore = field(default_factory=MemoryStore)
    triggers: dict[RoomKey, None] = field(default_factory=dict)
    told: dict[str, list[Record]] = field(default_factory=dict)
    dead_letters: list[Reject] = field(default_factory=list)
    workers: list[SimWorker] = field(default_factory=list)
    rooms: list[str] = field(default_factory=list)
    _queue: set[_Queued] = field(default_factory=set)
    _trigger_due: dict[RoomKey, float] = field(default_factory=dict)
    _inboxes: dict[str, asyncio.Future[Record]] = field(default_factory=dict)
    _kills: int = 0

    async def live(self) -> bool:
        """Let everything happen; True when all came to rest in the end."""
        for _ in range(self.random.randint(2, 3)):
            await self._start_worker()
        bus = asyncio.create_task(self._triggers())
        clients = [asyncio.create_task(self._client()) for _ in range(2)]
        await self._faults()
        await asyncio.gather(*clients)
        rests = await self._comes_to_rest()
        bus.cancel()
        for queued in self._queue:
            self._later(queued, None)
        for worker in self.workers:
            worker.kill()
        return rests

    def log_of(self, room: str) -> list[LogEntry]:
        """Return a room's entries."""
        return self.store.log_of(TENANT, room)

    def id(self) -> str:
        """Make an id."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    async def _start_worker(self) -> None:
        machine = Machine(self.random)
        worker = SimWorker(
            self.id(), machine, self.store, self.triggers, LoopClock(), self._outcome, self._nudge
        )
        self.workers.append(worker)
        worker.spawn(worker.start())

    async def _faults(self) -> None:
        until = asyncio.get_running_loop().time() + FAULTS_S
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(self.random.uniform(0.2, 6))
            victim = self.random.choice(self.workers)
            if self.random.random() < 0.5:
                victim.kill()
                self.workers.remove(victim)
                await asyncio.sleep(self.random.uniform(0, 2))
                await self._start_worker()
            else:
                victim.machine.pause()
                asyncio.get_running_loop().call_later(
                    self.random.uniform(0.5, 10), victim.machine.go_on
                )
        for worker in self.workers:
            worker.machine.weather = FAIR
            worker.machine.go_on()

    async def _client(self) -> None:
        room = self.id()
        self.rooms.append(room)
        policy = SCHEDULED if self.random.random() < 0.3 else WakePolicy()
        await self._ask(RentRoom(**self._at(room), body=RentBody(wake_policy=policy)))
        for _ in range(self.random.randint(4, 9)):
            await self._ask(self._some_command(room))
            await asyncio.sleep(self.random.choice((0, 0.1, 3)))
        if self.random.random() < 0.3:
            await self._ask(ReleaseRoom(**self._at(room), body=ReleaseBody()))
        if policy is SCHEDULED:
            over = PatchChange(patch={"wake_policy": {"schedule": None}})
            await self._ask(PatchRoom(**self._at(room), body=over))

    def _some_command(self, room: str) -> RoomCommand:
        dice = self.random.random()
        if dice < 0.7:
            delivery = self.random.choice(("queue", "queue", "reject"))
            body = MessageBody(content=self.random.choice(SCRIPTS), delivery=delivery)  # type: ignore[arg-type]  # one of its words
            return PostMessage(**self._at(room), body=body)
        if dice < 0.85:
            mode: Any = self.random.choice(("soft", "hard"))
            body_ = InterruptBody(mode=mode, deadline_ms=self.random.choice((200, 2000)))
            return InterruptRoom(**self._at(room), body=body_)
        return WakeRoom(**self._at(room), body=WakeBody())

    def _at(self, room: str) -> dict[str, Any]:
        return {"id": self.id(), "tenant": TENANT, "room": room, "caller": "ada"}

    async def _ask(self, command: RoomCommand) -> Record:
        """Publish until there is an outcome, as a gateway and its client do."""
        while True:
            inbox = f"{command.id}:{self.id()}"
            answer = self._inboxes[inbox] = asyncio.get_running_loop().create_future()
            for _ in range(self._copies()):
                subject = room_command(command.tenant, command.room, verb(command))
                queued = _Queued(subject, encode(command), inbox)
                self._queue.add(queued)
                self._offer(queued)
            try:
                return await asyncio.wait_for(answer, 5)
            except TimeoutError:
                continue

    def _copies(self) -> int:
        dice = self.random.random()
        return 0 if dice < 0.05 else 2 if dice < 0.15 else 1

    async def _outcome(self, inbox: str, outcome: Record) -> None:
        self.told.setdefault(inbox.partition(":")[0], []).append(outcome)
        answer = self._inboxes.get(inbox)
        if answer is not None and not answer.done():
            answer.set_result(outcome)

    async def _nudge(self, room: str) -> None:
        for worker in self.workers:
            worker.spawn(worker.look_at(room))

    def _offer(self, queued: _Queued) -> None:
        """Deliver a command, and again if it is not settled in time."""
        self._later(queued, _ACK_WAIT_S)
        worker = self.random.choice(self.workers)
        worker.spawn(self._deliver(worker, queued))

    def _later(self, queued: _Queued, delay_s: float | None) -> None:
        if queued.again is not None:
            queued.again.cancel()
        if delay_s is not None:
            loop = asyncio.get_running_loop()
            queued.again = loop.call_later(delay_s, self._offer, queued)

    async def _deliver(self, worker: SimWorker, queued: _Queued) -> None:
        outcome = await worker.handle(queued.subject, queued.data, {HEADER_REPLY: queued.reply})
        await worker.machine.awake()
        lost = self.random.random() < worker.machine.weather.lost_message
        if lost or queued not in self._queue:
            return
        if isinstance(outcome, Retry):
            self._later(queued, outcome.delay_s)
            return
        self._queue.discard(queued)
        self._later(queued, None)
        if isinstance(outcome, Reject):
            self.dead_letters.append(outcome)

    async def _triggers(self) -> None:
        """Deliver triggers, again where they are not settled in time."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            for key in [k for k in self.triggers if self._trigger_due.get(k, 0) <= now]:
                worker = self.random.choice(self.workers)
                if worker.runner.slots.free > 0:
                    self._trigger_due[key] = now + _ACK_WAIT_S
                    worker.spawn(self._take(worker, key))
            await asyncio.sleep(_LOOK_S)

    async def _take(self, worker: SimWorker, key: RoomKey) -> None:
        outcome = await worker.take(key)
        delay = outcome.delay_s if isinstance(outcome, Retry) else 0.0
        self._trigger_due[key] = asyncio.get_running_loop().time() + delay

    async def _comes_to_rest(self) -> bool:
        """Return when no room has work left; a failed one that has is woken, as a person would."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while asyncio.get_running_loop().time() < until:
            states = {room: self.log_of(room)[-1]["state"] for room in self.rooms}
            for room, state in states.items():
                if state["status"] == "failed" and state["queue"]:
                    await self._ask(WakeRoom(**self._at(room), body=WakeBody()))
            if not any(state["turn"] or state["queue"] for state in states.values()):
                return True
            await asyncio.sleep(0.5)
        return False
