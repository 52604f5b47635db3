"""One simulated deployment: workers, and a bus that delivers to them until they are done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from abbotik_contracts.room_bodies import WakeBody
from abbotik_contracts.room_commands import RoomCommand, WakeRoom, encode, verb
from abbotik_contracts.room_log import LogEntry, Record
from abbotik_contracts.subjects import HEADER_REPLY, room_command
from abbotik_kernel.outcome import Outcome, Reject, Retry
from abbotik_room_worker.ports import RoomKey
from tests.fakes.room_worker.store import MemoryStore
from tests.simulation.bus import Server
from tests.simulation.clocks import TrueClock
from tests.simulation.database import Primary, StoredLog
from tests.simulation.network import FAIR, FOUL, Machine, Weather
from tests.simulation.virtual_time import happens, now
from tests.simulation.watched import WatchedTool
from tests.simulation.worker import Servers, SimWorker

TENANT = "acme"
PATIENCE_S = 180.0
# Where workers stand still or die one after the other.
LATEST_MS = 20_000
# Longer than the news of a commit takes.
HEARD_MS = 250
# How long lists may show, at the end, what a worker left that died.
_SHOWN_S = 20.0
_ACK_WAIT_S = 2.0
_LOOK_S = 0.1


@dataclass(slots=True, eq=False)
class _Queued:
    """A message in a stream, until it is acked: what a worker does with it."""

    handle: Callable[[SimWorker], Any]
    again: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class World:
    """What is told, and to whom. ``told`` is every outcome that a client heard, by command id.

    ``latest_ms`` bounds how long anything waits that is due, ``heard_ms`` how long a turn goes on
    that was taken away; ``strays`` are the sessions that called a tool later than that.
    ``choose`` says which of some workers gets the next message; by chance where it is not set.
    """

    random: Random
    weather: Weather = FOUL
    latest_ms: int = LATEST_MS
    heard_ms: int = HEARD_MS
    choose: Callable[[list[SimWorker]], SimWorker] | None = None
    store: MemoryStore = field(default_factory=MemoryStore)
    told: dict[str, list[Record]] = field(default_factory=dict)
    dead_letters: list[Reject] = field(default_factory=list)
    workers: list[SimWorker] = field(default_factory=list)
    rooms: list[str] = field(default_factory=list)
    gone: list[SimWorker] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    servers: Servers = field(init=False)
    _queue: set[_Queued] = field(default_factory=set)
    _trigger_due: dict[RoomKey, float] = field(default_factory=dict)
    _asides: list[asyncio.Task[None]] = field(default_factory=list)
    _inboxes: dict[str, asyncio.Future[Record]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start the servers."""
        bus = Server(TrueClock(), self._nudge, self._remind)
        log, primary = StoredLog(self.store), Primary()
        self.servers = Servers(self.random, self.store, log, primary, bus)

    def befall(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something happen beside all else, until the end."""
        self._asides.append(asyncio.create_task(work))

    def log_of(self, room: str) -> list[LogEntry]:
        """Return a room's entries."""
        return self.store.log_of(TENANT, room)

    def id(self) -> str:
        """Make an id."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def start_worker(self) -> SimWorker:
        """Start another one."""
        machine = Machine(self.random, self.weather)
        worker = SimWorker(self.id(), machine, self.servers, self._outcome)
        for name in ("echo", "wait"):
            worker.tools[name] = WatchedTool(
                worker.tools[name], worker.session, self.log_of, self.strays.append, self.heard_ms
            )
        self.workers.append(worker)
        machine.spawn(worker.start())
        return worker

    def bury(self, worker: SimWorker) -> None:
        """Count a worker that is dead no more."""
        worker.machine.kill()
        self.workers.remove(worker)
        self.gone.append(worker)

    async def dismiss(self, worker: SimWorker) -> None:
        """Tell a worker to stop, and return when it has left, or died over it."""
        worker.left = await worker.machine.lives_through(worker.drain())

    def at(self, room: str) -> dict[str, Any]:
        """Return what every command of a room has."""
        return {"id": self.id(), "tenant": TENANT, "room": room, "caller": "ada"}

    async def ask(self, command: RoomCommand) -> Record:
        """Publish until there is an outcome, as a gateway and its client do."""
        while True:
            inbox = f"{command.id}:{self.id()}"
            answer = self._inboxes[inbox] = asyncio.get_running_loop().create_future()
            for _ in range(self._copies()):
                self._publish(command, inbox)
            try:
                return await asyncio.wait_for(answer, 5)
            except TimeoutError:
                continue

    async def deliver_triggers(self) -> None:
        """Deliver triggers, again where they are not settled in time."""
        while True:
            for key in [
                k for k in self.servers.bus.triggers if self._trigger_due.get(k, 0) <= now()
            ]:
                worker = self._some_worker()
                if worker is not None and worker.runner.slots.free > 0:
                    self._trigger_due[key] = now() + _ACK_WAIT_S
                    worker.spawn(self._take(worker, key))
            await asyncio.sleep(_LOOK_S)

    async def comes_to_rest(self) -> bool:
        """Return when no room has work left; a failed one that has is woken, as a person would."""
        until = now() + PATIENCE_S
        while now() < until:
            states = {room: self.log_of(room)[-1]["state"] for room in self.rooms}
            for room, state in states.items():
                if state["status"] == "failed" and state["queue"]:
                    await self.ask(WakeRoom(**self.at(room), body=WakeBody()))
            if not any(state["turn"] or state["queue"] for state in states.values()):
                return True
            await asyncio.sleep(0.5)
        return False

    async def is_projected(self) -> None:
        """Return when lists show each room as it is, or it takes too long."""
        await happens(lambda: all(map(self._shows, self.rooms)), _SHOWN_S, 0.5)

    def clear_up(self) -> None:
        """Let nothing go wrong any more."""
        self.weather = FAIR
        for worker in self.workers:
            worker.machine.weather = FAIR
            worker.machine.spare()

    def forget(self) -> None:
        """Have NATS lose all that it keeps."""
        self.servers.bus.forget()
        for queued in self._queue:
            self._later(queued, None)
        self._queue.clear()

    def end(self) -> None:
        """Let nothing happen any more."""
        for aside in self._asides:
            aside.cancel()
        self.forget()
        for worker in self.workers:
            worker.machine.kill()

    def _shows(self, room: str) -> bool:
        return bool(self.store.rooms[room]["rev"] == self.log_of(room)[-1]["rev"])

    def _publish(self, command: RoomCommand, inbox: str) -> None:
        subject = room_command(command.tenant, command.room, verb(command))
        data = encode(command)
        self._enqueue(lambda worker: worker.handle(subject, data, {HEADER_REPLY: inbox}))

    def _remind(self, key: RoomKey, data: bytes) -> None:
        self._enqueue(lambda worker: worker.remember(key, data))

    def _nudge(self, room: str) -> None:
        for worker in self.workers:
            worker.machine.spawn(worker.look_at(room))

    def _copies(self) -> int:
        dice = self.random.random()
        if dice < self.weather.lost_message / 2:
            return 0
        return 2 if dice < 1.5 * self.weather.doubled_message else 1

    def _outcome(self, inbox: str, outcome: Record) -> None:
        self.told.setdefault(inbox.partition(":")[0], []).append(outcome)
        answer = self._inboxes.get(inbox)
        if answer is not None and not answer.done():
            answer.set_result(outcome)

    def _some_worker(self) -> SimWorker | None:
        able = [worker for worker in self.workers if worker.serves]
        if not able:
            return None
        return self.random.choice(able) if self.choose is None else self.choose(able)

    def _enqueue(self, handle: Callable[[SimWorker], Any]) -> None:
        queued = _Queued(handle)
        self._queue.add(queued)
        self._offer(queued)

    def _offer(self, queued: _Queued) -> None:
        """Deliver a message, and again if it is not settled in time."""
        worker = self._some_worker()
        self._later(queued, _LOOK_S if worker is None else _ACK_WAIT_S)
        if worker is not None:
            worker.spawn(self._deliver(worker, queued))

    def _later(self, queued: _Queued, delay_s: float | None) -> None:
        if queued.again is not None:
            queued.again.cancel()
        if delay_s is not None:
            loop = asyncio.get_running_loop()
            queued.again = loop.call_later(delay_s, self._offer, queued)

    async def _deliver(self, worker: SimWorker, queued: _Queued) -> None:
        outcome: Outcome = await queued.handle(worker)
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

    async def _take(self, worker: SimWorker, key: RoomKey) -> None:
        outcome = await worker.take(key)
        delay = outcome.delay_s if isinstance(outcome, Retry) else 0.0
        self._trigger_due[key] = now() + delay
